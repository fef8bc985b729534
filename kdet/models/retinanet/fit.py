"""Anchors that fit the objects of a data set."""

from keras import ops

from kdet.models import anchor_fit
from kdet.ops.anchors import retina_pyramid

# pixels; an object should cover two cells of the finest level, whose cells are 8 pixels apart
SMALLEST = 16


def best_iou(config, objects):
    """(m,) the largest IoU of each of the `anchor_fit.Objects` with any anchor."""
    anchors = ops.convert_to_numpy(retina_pyramid(objects.canvas, config.anchor_scale))
    return anchor_fit.best_iou(anchors, objects.boxes)


def fit_anchors(config, objects):
    """The config with the anchor scale that covers the objects best."""
    return anchor_fit.fit_scale(config, best_iou, objects)
