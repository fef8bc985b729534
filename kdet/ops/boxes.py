"""Arithmetic on boxes, which are `xyxy`, float32, in pixels and half-open (width = x2 - x1).

The reference stores inclusive corners and adds 1 to every width. Boxes in kdet have its x2 + 1 and
y2 + 1, so the formulas below need no "+1". Only `rescale`, `clip` and the `min_overlap` of `iou`
still show the reference's convention.
"""

import math

import numpy as np
from keras import ops

# exp() of a delta above 88 overflows float32; this limit is far above any real box
MAX_LOG_RATIO = 60.0
# decoding makes a proposal at most 1000 / 16 times as large as its anchor (He et al., Detectron)
PROPOSAL_LOG_RATIO = math.log(1000.0 / 16)
# fills unused entries, because it can be encoded and pooled without a division by zero
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
            reference's NMS corresponds to 1, because it tests inclusive corners for an intersection
            before it adds 1.
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
    # the inner `where` avoids 0 / 0
    return ops.where(union > 0, shared / ops.where(union > 0, union, 1.0), 0.0)


def encode(boxes, anchors, variances=(1.0, 1.0, 1.0, 1.0)):
    """Deltas that move anchors onto boxes (Girshick et al. 2014, appendix C).

    Args:
        boxes: (..., 4) target boxes, with positive width and height.
        anchors: (..., 4), the same leading shape or broadcastable to it.
        variances: divisors of the four deltas; the box heads of R-CNN use (.1, .1, .2, .2).
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
    """Moves anchors by predicted deltas, without clipping; the inverse of `encode`.

    Args:
        deltas: (..., 4) float (dx, dy, dw, dh).
        anchors: (..., 4), the same leading shape or broadcastable to it.
        variances: the divisors that `encode` used.
        max_log_ratio: upper limit of dw and dh; proposals use `PROPOSAL_LOG_RATIO`.
    Returns:
        (..., 4) float32 boxes.
    """
    # float32 under every dtype policy: bfloat16 would round coordinates by several pixels
    deltas = ops.cast(deltas, "float32") * ops.convert_to_tensor(variances, dtype="float32")
    width, height = anchors[..., 2] - anchors[..., 0], anchors[..., 3] - anchors[..., 1]
    x = anchors[..., 0] + 0.5 * width + deltas[..., 0] * width
    y = anchors[..., 1] + 0.5 * height + deltas[..., 1] * height
    half_width = 0.5 * width * ops.exp(ops.minimum(deltas[..., 2], max_log_ratio))
    half_height = 0.5 * height * ops.exp(ops.minimum(deltas[..., 3], max_log_ratio))
    return ops.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=-1)


def rescale(boxes, scale):
    """Boxes after their image is resized by `scale`.

    The reference multiplies inclusive corners, so the last pixel, x2 - 1, is scaled.

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
    """Clips boxes to the image as the reference does, x1 to [0, w - 1] and x2 to [1, w].

    Args:
        boxes: (B, N, 4).
        size: (B, 2) h, w.
    Returns:
        (B, N, 4); a box outside the image becomes one pixel at its border.
    """
    height, width = size[:, None, 0], size[:, None, 1]
    # the reference clips inclusive corners to [0, w - 1], so a half-open x2 is at least 1
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
    """Raises x2 to x1 and y2 to y1 where a box (..., 4) is inverted.

    `rescale` inverts a box that is narrower than one pixel when it enlarges it. The reference
    returns such boxes, and their area counts as 0.
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    return ops.concatenate([low, ops.maximum(low, high)], axis=-1)


def smooth_l1(difference, sigma):
    """0.5 (sigma d)^2 where |d| < 1 / sigma^2, else |d| - 0.5 / sigma^2, for every element.

    The source is `smooth_l1_loss_op.h`. With sigma 1 it is the loss of Girshick 2015.
    """
    size, beta = ops.abs(difference), 1.0 / sigma**2
    return ops.where(size < beta, 0.5 / beta * ops.square(difference), size - 0.5 * beta)
