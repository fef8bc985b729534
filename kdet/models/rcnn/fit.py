"""Anchors, proposals and samples that fit the objects of a data set."""

from dataclasses import replace

import numpy as np
from keras import ops

from kdet.models import anchor_fit
from kdet.ops.anchors import rpn_pyramid

# pixels; an object should cover three cells of the finest level, whose cells are 4 pixels apart
SMALLEST = 12
USUAL_AREA = 800 * 1333  # pixels of the images for which the rows' counts were chosen


def best_iou(config, objects):
    """(m,) the largest IoU of each of the `anchor_fit.Objects` with any anchor."""
    anchors = ops.convert_to_numpy(rpn_pyramid(objects.canvas, config.neck, config.anchor_scale))
    return anchor_fit.best_iou(anchors, objects.boxes)


def fit_anchors(config, objects):
    """The config with the anchor scale that covers the objects best."""
    return anchor_fit.fit_scale(config, best_iou, objects)


def fit_settings(config, statistics, data, start):
    """The config with fewer proposals and samples for images smaller than those of the row.

    The counts shrink with the side of the images, but there are at least four proposals and one
    sampled foreground box for every two objects of a crowded image. Where no pretrained weights fix
    the widths, small images get a pyramid and heads that are half as wide.

    Args:
        config: `kdet.config.RCNN`.
        statistics: `kdet.data.statistics.Statistics`.
        data: `kdet.config.Data` of the resized images.
        start: what the weights start from: "detector", "backbone" or "nothing".
    """
    height, width = data.canvas_sizes()[-1]
    share = min((height * width / USUAL_AREA) ** 0.5, 1.0)
    crowded = float(np.percentile(statistics.counts, 95))

    def fitted(count, least, step):
        return min(count, int(np.ceil(max(count * share, least) / step)) * step)

    counts = {
        name: fitted(getattr(config, name), 4 * crowded, 100)
        for name in (
            "rpn_pre_nms_top_n_train",
            "rpn_post_nms_top_n_train",
            "rpn_pre_nms_top_n_test",
            "rpn_post_nms_top_n_test",
        )
    }
    samples = fitted(config.roi_batch_size, crowded / config.roi_positive_fraction / 2, 32)
    if start == "nothing" and share < 0.5:
        counts |= {"width": config.width // 2, "head_width": config.head_width // 2}
    return replace(config, roi_batch_size=samples, **counts)
