"""Boxes are `xyxy`, float32, pixels, half-open: width = x2 - x1. Stated once, here.

The reference system stores inclusive corners and adds 1 in every width. Adding 1 to its x2 and y2
turns all of its formulas into the plain ones below; what is left of the convention shows only in
`rescale` and `clip`.
"""

import math

import numpy as np
from keras import ops

# exp() of a larger delta would overflow; boxes this large are clipped to the image anyway
MAX_LOG_RATIO = 60.0
# the proposals' limit on growth (He et al., Detectron): 1000 / 16
PROPOSAL_LOG_RATIO = math.log(1000.0 / 16)
# stands in unused places: a box that can be encoded and pooled
ONE_PIXEL = np.array([0, 0, 1, 1], "float32")


def area(boxes):
    """Areas in square pixels. boxes (..., 4) -> (...); inverted boxes have area 0."""
    width = ops.maximum(boxes[..., 2] - boxes[..., 0], 0.0)
    height = ops.maximum(boxes[..., 3] - boxes[..., 1], 0.0)
    return width * height


def iou(a, b, min_overlap=0.0):
    """Intersection over union of every pair.

    Args:
        a: (..., N, 4) boxes.
        b: (..., M, 4) boxes.
        min_overlap: pairs that share fewer pixels than this in x or in y count as disjoint. The
            reference's final suppression uses 1: its boxes are inclusive, and it tests for
            disjointness before it adds 1.
    Returns:
        (..., N, M) float32; 0 where the union is empty.
    """
    a, b = ops.expand_dims(a, -2), ops.expand_dims(b, -3)
    width = ops.minimum(a[..., 2], b[..., 2]) - ops.maximum(a[..., 0], b[..., 0])
    height = ops.minimum(a[..., 3], b[..., 3]) - ops.maximum(a[..., 1], b[..., 1])
    shared = ops.maximum(width, 0.0) * ops.maximum(height, 0.0)
    if min_overlap > 0:
        shared = ops.where(ops.minimum(width, height) < min_overlap, 0.0, shared)
    union = area(a) + area(b) - shared
    return ops.where(union > 0, shared / ops.where(union > 0, union, 1.0), 0.0)


def encode(boxes, anchors, variances=(1.0, 1.0, 1.0, 1.0)):
    """Deltas that move anchors onto boxes (Girshick et al. 2014, appendix C).

    Args:
        boxes: (..., 4) target boxes, with positive width and height.
        anchors: (..., 4), the same leading shape or broadcastable to it.
        variances: what each delta is divided by; R-CNN's heads use (.1, .1, .2, .2).
    Returns:
        (..., 4) float32 (dx, dy, dw, dh).
    """
    width, height = anchors[..., 2] - anchors[..., 0], anchors[..., 3] - anchors[..., 1]
    box_width, box_height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    dx = (boxes[..., 0] + 0.5 * box_width - anchors[..., 0] - 0.5 * width) / width
    dy = (boxes[..., 1] + 0.5 * box_height - anchors[..., 1] - 0.5 * height) / height
    deltas = ops.stack([dx, dy, ops.log(box_width / width), ops.log(box_height / height)], axis=-1)
    return deltas / ops.convert_to_tensor(variances, dtype="float32")


def decode(deltas, anchors, variances=(1.0, 1.0, 1.0, 1.0), max_log_ratio=MAX_LOG_RATIO):
    """Moves anchors by predicted deltas; the inverse of `encode`. Not clipped.

    Args:
        deltas: (..., 4) float (dx, dy, dw, dh).
        anchors: (..., 4), the same leading shape or broadcastable to it.
        variances: what each delta was divided by in `encode`.
        max_log_ratio: upper limit of dw and dh; proposals use `PROPOSAL_LOG_RATIO`.
    Returns:
        (..., 4) float32 boxes.
    """
    deltas = ops.cast(deltas, "float32") * ops.convert_to_tensor(variances, dtype="float32")
    width, height = anchors[..., 2] - anchors[..., 0], anchors[..., 3] - anchors[..., 1]
    x = anchors[..., 0] + 0.5 * width + deltas[..., 0] * width
    y = anchors[..., 1] + 0.5 * height + deltas[..., 1] * height
    half_width = 0.5 * width * ops.exp(ops.minimum(deltas[..., 2], max_log_ratio))
    half_height = 0.5 * height * ops.exp(ops.minimum(deltas[..., 3], max_log_ratio))
    return ops.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=-1)


def rescale(boxes, scale):
    """Boxes of an image resized by `scale`.

    The reference multiplies inclusive corners, so the last pixel (x2 - 1) is what scales.

    Args:
        boxes: (B, N, 4).
        scale: (B, 2) factors (y, x).
    Returns:
        (B, N, 4) float32.
    """
    y, x = scale[:, None, 0], scale[:, None, 1]
    return ops.stack(
        [
            boxes[..., 0] * x,
            boxes[..., 1] * y,
            (boxes[..., 2] - 1) * x + 1,
            (boxes[..., 3] - 1) * y + 1,
        ],
        axis=-1,
    )


def clip(boxes, size):
    """Boxes moved into the image: x1 in [0, w - 1], x2 in [1, w], as the reference clips.

    Args:
        boxes: (B, N, 4).
        size: (B, 2) h, w.
    Returns:
        (B, N, 4); a box outside becomes one pixel on the border.
    """
    height, width = size[:, None, 0], size[:, None, 1]
    return ops.stack(
        [
            ops.clip(boxes[..., 0], 0.0, width - 1),
            ops.clip(boxes[..., 1], 0.0, height - 1),
            ops.clip(boxes[..., 2], 1.0, width),
            ops.clip(boxes[..., 3], 1.0, height),
        ],
        axis=-1,
    )


def upright(boxes):
    """Boxes (..., 4) without inverted ones: x2 >= x1 and y2 >= y1.

    `rescale` turns boxes narrower than a pixel around when it enlarges; the reference hands those
    out, with area 0.
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    return ops.concatenate([low, ops.maximum(low, high)], axis=-1)


def smooth_l1(difference, sigma):
    """0.5 (sigma d)^2 where |d| < 1 / sigma^2, |d| - 0.5 / sigma^2 elsewhere.

    (`smooth_l1_loss_op.h`; Girshick 2015 at sigma 1.) Any shape, same shape back.
    """
    size, beta = ops.abs(difference), 1.0 / sigma**2
    return ops.where(size < beta, 0.5 / beta * ops.square(difference), size - 0.5 * beta)
