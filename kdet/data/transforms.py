"""What happens to one example between the record and the batch; TensorFlow ops only.

A transform is a closure on an example dict (`kdet.data.schema`). Random ones take their numbers
from `example["seed"]`, (2,) int32, which the pipeline derives from (seed, step, position in the
global batch); each folds in a constant of its own, so that they are independent of each other.
"""

from __future__ import annotations

import tensorflow as tf

from kdet.config import Data
from kdet.data.plan import fit

_FLIP = 1  # folded into the seed


def flip(probability: float):
    """Mirrors image and boxes left to right; boxes in pixels of the image as it is then."""

    def mirrored(image, boxes):
        width = tf.cast(tf.shape(image)[1], tf.float32)
        x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
        return image[:, ::-1], tf.stack([width - x2, y1, width - x1, y2], axis=-1)

    def apply(example):
        draw = tf.random.stateless_uniform(
            (), tf.random.experimental.stateless_fold_in(example["seed"], _FLIP)
        )
        image, boxes = example["image"], example["boxes"]
        image, boxes = tf.cond(
            draw < probability, lambda: mirrored(image, boxes), lambda: (image, boxes)
        )
        return {**example, "image": image, "boxes": boxes}

    return apply


def normalise(data: Data):
    """uint8 -> float32: (image / 255 - mean) / std, per channel."""
    scale = tf.constant([1 / (255 * s) for s in data.std], tf.float32)
    offset = tf.constant([-m / s for m, s in zip(data.mean, data.std)], tf.float32)

    def apply(example):
        return {**example, "image": tf.cast(example["image"], tf.float32) * scale + offset}

    return apply


def resize(data: Data):
    """Resizes a float32 image by `kdet.data.plan.fit`, and its boxes where it has them.

    Adds resized_size, (2,) float32: scale * (h, w), not rounded, as the reference trains with.
    """

    def apply(example):
        image = example["image"]
        scale, height, width = fit(tf.shape(image)[0], tf.shape(image)[1], data, xp=tf)
        exact = tf.cast(tf.shape(image)[:2], tf.float64) * scale
        example = {
            **example,
            "image": resize_bilinear(image, scale, height, width),
            "resized_size": tf.cast(exact, tf.float32),
        }
        if "boxes" in example:
            example["boxes"] = scale_boxes(example["boxes"], tf.cast(scale, tf.float32))
        return example

    return apply


def resize_bilinear(image, scale, height, width):
    """Bilinear resizing with the sampling grid given by the scale, not by the ratio of sizes.

    Output pixel p reads at (p + 0.5) / scale - 0.5 (half-pixel centres), edges are repeated and
    nothing is smoothed before shrinking: OpenCV's INTER_LINEAR with fx = fy = scale.

    Args:
        image: (h, w, c) float32.
        scale: () float64.
        height, width: () int32, size of the result.
    Returns:
        (height, width, c) float32.
    """
    rows, columns = tf.shape(image)[0], tf.shape(image)[1]
    left, right, part = _neighbours(columns, width, scale)
    image = _lerp(tf.gather(image, left, axis=1), tf.gather(image, right, axis=1), part[:, None])
    above, below, part = _neighbours(rows, height, scale)
    return _lerp(tf.gather(image, above), tf.gather(image, below), part[:, None, None])


def _neighbours(inside, outside, scale):
    """The two input pixels each output pixel lies between, and the share of the second one."""
    place = (tf.range(tf.cast(outside, tf.float64), dtype=tf.float64) + 0.5) / scale - 0.5
    first = tf.floor(place)
    part = tf.cast(place - first, tf.float32)
    first = tf.cast(first, tf.int32)
    return tf.clip_by_value(first, 0, inside - 1), tf.clip_by_value(first + 1, 0, inside - 1), part


def _lerp(first, second, part):
    return first + (second - first) * part


def scale_boxes(boxes, scale):
    """(n, 4) float32 boxes in the frame of the resized image.

    The reference scales inclusive corners, x1 and x2 - 1 here, and its targets count pixels from
    corner to corner; so that widths agree with it, the far corners are (x2 - 1) * scale + 1.
    """
    return tf.concat([boxes[:, :2] * scale, (boxes[:, 2:] - 1.0) * scale + 1.0], axis=1)


def pad_image(canvas):
    """Zeros, the mean colour by then, right and below, up to `canvas`, (2,) int32 h, w."""

    def apply(example):
        missing = canvas - tf.shape(example["image"])[:2]
        padding = tf.pad(missing[:, None], [[0, 1], [1, 0]])
        return {**example, "image": tf.pad(example["image"], padding)}

    return apply


def pad_truth(max_boxes: int):
    """Truth for training, padded: boxes (M, 4), labels (M,) int32, valid (M,) bool.

    Crowd regions are left out, as in the reference, and so simply not labelled.
    """

    def apply(example):
        keep = ~example["crowd"]
        boxes, labels = example["boxes"][keep][:max_boxes], example["labels"][keep][:max_boxes]
        count = tf.shape(labels)[0]
        missing = max_boxes - count
        return {
            **example,
            "boxes": tf.ensure_shape(tf.pad(boxes, [[0, missing], [0, 0]]), [max_boxes, 4]),
            "labels": tf.ensure_shape(tf.pad(labels, [[0, missing]]), [max_boxes]),
            "valid": tf.range(max_boxes) < count,
        }

    return apply


def chain(*transforms):
    """One transform that applies all, first to last."""

    def apply(example):
        for transform in transforms:
            example = transform(example)
        return example

    return apply
