"""Anchors that fit the objects of a data set, and a first objectness for short runs."""

from dataclasses import replace

from kdet.models import anchor_fit

# pixels; an object should cover two cells of the finest level, whose cells are 8 pixels apart
SMALLEST = 16
# Few places have an object, see Lin et al. 2017, "Focal loss", section 4.1. With 0.5, a short run
# spends its first tenth on learning this.
PRIOR = 0.01


def best_iou(config, objects):
    """(m,) the largest IoU of each of the `anchor_fit.Objects` with any anchor, centres aligned."""
    return anchor_fit.best_shape_iou(config.anchors, objects.shapes)


def fit_anchors(config, objects):
    """The config with anchors of k-means clusters, if they cover the objects better."""
    found = anchor_fit.k_means(objects.shapes, objects.weights, len(config.anchors))
    anchors = tuple((round(float(width), 1), round(float(height), 1)) for width, height in found)
    return anchor_fit.search([replace(config, anchors=anchors)], best_iou, objects, config)


def fit_settings(config, statistics, data, start):
    """The config whose new layers predict a low objectness at first."""
    return replace(config, objectness_prior=PRIOR)
