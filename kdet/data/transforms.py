"""Transforms of one example between the record and the batch, with TensorFlow operations only.

A transform is a function from example dict to example dict (`kdet.data.schema`). Random transforms
use `example["seed"]`, (2,) int32, which depends on (seed, step, position in the global batch). Each
one folds its own constant into the seed, so that they are independent of each other.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kdet.config import Data
from kdet.data import outlines
from kdet.data.augment.resize import resize
from kdet.data.augment.scale import resize_by_scale
from kdet.data.batch_plan import resized_shape

_FLIP, _SAMPLE = 1, 2  # folded into the seed


def flip(probability: float):
    """Mirrors image, boxes and outlines left to right with the given probability."""

    def mirrored(example):
        width = tf.cast(tf.shape(example["image"])[1], tf.float32)
        x1, y1, x2, y2 = tf.unstack(example["boxes"], axis=-1)
        changed = {
            "image": tf.reverse(example["image"], [1]),
            "boxes": tf.stack([width - x2, y1, width - x1, y2], axis=-1),
        }
        if "mask_edges" in example:
            changed["mask_edges"] = outlines.mirror(example["mask_edges"], width)
        return {**example, **changed}

    def apply(example):
        draw = tf.random.stateless_uniform(
            (), tf.random.experimental.stateless_fold_in(example["seed"], _FLIP)
        )
        return tf.cond(draw < probability, lambda: mirrored(example), lambda: example)

    return apply


def normalise(data: Data):
    """Normalises uint8 RGB pixels: (image / 255 - mean) / std, with channels as in `data`.

    It takes an example or a batch. Images that are float32 already are returned as they are.
    """
    scale, offset = map(np.float32, data.pixel_scale())

    def apply(example):
        image = example["image"]
        if image.dtype == tf.float32:
            return example
        if data.channels == "BGR":
            image = tf.reverse(image, [-1])
        shape, width = tf.shape(image), tf.shape(image)[-2]
        # on whole rows, because broadcasting over three channels is five times slower
        flat = tf.cast(tf.reshape(image, [-1, width * 3]), tf.float32)
        flat = flat * tf.tile(scale, [width]) + tf.tile(offset, [width])
        return {**example, "image": tf.reshape(flat, shape)}

    return apply


def pixel_matrix(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) and (3,) float32: pixel @ matrix + offset normalises an RGB pixel of 0..255."""
    scale, offset = data.pixel_scale()
    order = [2, 1, 0] if data.channels == "BGR" else [0, 1, 2]
    return np.eye(3, dtype=np.float32)[:, order] * np.float32(scale), np.float32(offset)


def resize_and_pad(data: Data, canvas):
    """Resizes, normalises and pads a uint8 image to `canvas`, and scales its boxes.

    A stretched image is resized in whole numbers, as in the reference, and then normalised. See
    `resize_image`. A scaled image is normalised in the same pass, and its padding is 0.
    """
    if data.resize == "scale":
        return resize_image(data, canvas, *pixel_matrix(data))
    return chain(resize_image(data, canvas), normalise(data))


def resize_image(data: Data, canvas, *normalising):
    """Resizes an image to `kdet.data.batch_plan.resized_shape`, pads it and scales its boxes.

    The image is float32 for "scale", and uint8 for "stretch", which fills the canvas. The result
    has resized_size, (2,) float32, which is scale * (h, w) without rounding, as in the reference.

    Args:
        data: the settings of resizing.
        canvas: (2,) int32 h, w of the result, not smaller than the resized image.
        normalising: for "scale", colours and light of `resize_by_scale`, or nothing.
    """

    def apply(example):
        image = example["image"]
        size = tf.shape(image)[:2]
        scale, height, width = resized_shape(size[0], size[1], data, xp=tf)
        if data.resize == "stretch":
            image = tf.cast(resize(image, data.interpolation, (height, width)), tf.uint8)
        else:
            image = resize_by_scale(image, scale, (height, width), canvas, *normalising)
        resized = tf.cast(tf.cast(size, tf.float64) * scale, tf.float32)
        example = {**example, "image": image, "resized_size": resized}
        if "boxes" in example:
            boxes = scale_boxes(example["boxes"], tf.cast(scale, tf.float32), data.corners)
            if data.resize == "stretch":
                boxes = tf.minimum(boxes, tf.reverse(tf.tile(resized, [2]), [0]))
            example["boxes"] = boxes
        return example

    return apply


def scale_boxes(boxes, scale, corners="inclusive"):
    """(n, 4) float32 boxes in the frame of the resized image.

    The reference scales inclusive corners, x1 and x2 - 1 here, and counts pixels from corner to
    corner. So the far corners are (x2 - 1) * scale + 1, and widths agree with it. Boxes that are
    edges ("edges", for VOC) scale plainly: xmax is divided by the width as it is. Decoders follow
    the same rule.

    Args:
        scale: () or pair (of height, of width), float32.
        corners: `Data.corners`.
    """
    both = tf.reverse(tf.broadcast_to(scale, [2]), [0])  # x, y
    far = boxes[:, 2:] * both if corners == "edges" else (boxes[:, 2:] - 1.0) * both + 1.0
    return tf.concat([boxes[:, :2] * both, far], axis=1)


def pad_truth(max_boxes: int):
    """Pads the ground truth: boxes (M, 4), labels (M,) int32, valid (M,) bool, and outlines.

    Crowd regions are left out, as in the reference, so their area counts as background.
    """

    def apply(example):
        keep = ~example["crowd"]
        count = tf.minimum(tf.reduce_sum(tf.cast(keep, tf.int32)), max_boxes)

        def padded(name, fill=0):
            values = example[name][keep][:max_boxes]
            room = [[0, max_boxes - count]] + [[0, 0]] * (len(values.shape) - 1)
            values = tf.pad(values, room, constant_values=fill)
            return tf.ensure_shape(values, [max_boxes, *values.shape[1:]])

        masks = {}
        if "mask_edges" in example:
            masks = {"mask_edges": padded("mask_edges"), "mask_parts": padded("mask_parts", -1)}
        if "scores" in example:
            masks["scores"] = padded("scores")
        return {
            **example,
            **masks,
            "boxes": padded("boxes"),
            "labels": padded("labels"),
            "valid": tf.range(max_boxes) < count,
        }

    return apply


def sample_seed(seed):
    """() int32 for random numbers inside the training step, from an example's seed."""
    return tf.random.experimental.stateless_fold_in(seed, _SAMPLE)[0]


def chain(*transforms):
    """One transform that applies all transforms in their order."""

    def apply(example):
        for transform in transforms:
            example = transform(example)
        return example

    return apply
