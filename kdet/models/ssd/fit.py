"""Prior sizes that fit the objects of a data set."""

from dataclasses import replace

import numpy as np
from keras import ops

from kdet.models import anchor_fit
from kdet.models.ssd.priors import map_sizes, prior_boxes

# pixels; cells of the finest map are 16 pixels apart, and every object has at least one prior
SMALLEST = 20


def best_iou(config, objects):
    """(m,) the largest IoU of each of the `anchor_fit.Objects` with any prior."""
    height, width = objects.canvas
    priors = prior_boxes(map_sizes(objects.canvas), objects.canvas, config.prior_sizes)
    priors = ops.convert_to_numpy(priors) * [width, height, width, height]
    return anchor_fit.best_iou(priors, objects.boxes)


def fit_anchors(config, objects):
    """The config with the prior sizes that cover the objects best.

    The first size is a low quantile of the objects' sides and the last one a high quantile. The
    sizes between them are spaced evenly, or grow by a constant factor.
    """
    sides = np.sqrt(np.maximum(objects.shapes.prod(axis=1), 1.0))
    order = np.argsort(sides, kind="stable")
    place = np.cumsum(objects.weights[order])

    def quantile(share):
        return sides[order[min(np.searchsorted(place, share), len(order) - 1)]]

    candidates = []
    count = len(config.prior_sizes)
    for low in map(quantile, (0.05, 0.15, 0.3)):
        for high in map(quantile, (0.85, 0.95, 1.0)):
            high = max(high, 2 * low)
            for sizes in (np.linspace(low, high, count), np.geomspace(low, high, count)):
                sizes = tuple(round(float(size), 1) for size in sizes)
                candidates.append(replace(config, prior_sizes=sizes))
    return anchor_fit.search(candidates, best_iou, objects, config)
