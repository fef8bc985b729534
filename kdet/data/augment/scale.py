"""Bilinear resizing by a factor, with normalisation and padding in the same passes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kdet.data.augment import axis_filters
from kdet.data.augment.resize import linear_weights

_ROWS, _STRIPS = 16, 64  # rows per strip and number of strips of columns; the fastest ones


def resize_by_scale(image, scale, size, canvas, colours=None, light=(0.0, 0.0, 0.0)):
    """Bilinear resizing by a scale, like OpenCV's INTER_LINEAR with fx = fy = scale.

    Output pixel p is read at (p + 0.5) / scale - 0.5 (half-pixel centres). The scale is used, and
    not the ratio of the rounded sizes. Pixels at the edges are repeated, and there is no smoothing.

    Args:
        image: (h, w, 3) of any numeric dtype.
        scale: () float64.
        size: height and width of the resized image, () int32 each.
        canvas: (2,) int32 h, w of the result, at least `size`. The rest is filled with zeros.
        colours: (3, 3) float32. A pixel p becomes p @ colours + light. None keeps the colours.
        light: three numbers.
    Returns:
        (canvas h, canvas w, 3) float32.
    Raises:
        tf.errors.InvalidArgumentError: the canvas is smaller than the resized image.
    """
    colours = np.eye(3, dtype=np.float32) if colours is None else colours
    lengths = tf.unstack(tf.shape(image)[:2])
    down, across = (_line(lengths[axis], scale, size[axis]) for axis in (0, 1))
    columns = axis_filters.dense_filter(*_padded(*across, canvas[1]), lengths[1], _STRIPS)
    light = columns.cover[:, None] * light  # 0 beside of the image

    def mixed(rows):
        return axis_filters.mix_columns(tf.cast(rows, tf.float32), columns, colours, light)

    def grown():
        pixels = mixed(tf.reshape(image, [lengths[0], lengths[1] * 3]))
        strips = -(-canvas[0] // _ROWS)
        rows = axis_filters.dense_filter(*_padded(*down, canvas[0]), lengths[0], strips)
        pixels = tf.reshape(pixels, [lengths[0], canvas[1], 3])
        return axis_filters.mix_rows(pixels, rows)

    def shrunk():  # rows come first, so that the pass over columns has fewer of them
        pixels = mixed(_blended_rows(image, *down))
        return tf.pad(pixels, [[0, canvas[0] - size[0]], [0, 0]])

    pixels = tf.cond(scale < 1, shrunk, grown)
    return tf.reshape(pixels, [canvas[0], canvas[1], 3])


def _line(length, scale, count):
    """Indices and weights of `count` pixels of a line of `length` pixels."""
    pixel = tf.range(tf.cast(count, tf.float64), dtype=tf.float64)
    return linear_weights((pixel + 0.5) / scale - 0.5, length - 1)


def _padded(index, weight, count):
    """Repeats the last index with weights of 0, up to `count` pixels."""
    room = [[0, count - tf.shape(index)[0]], [0, 0]]
    return tf.pad(index, room, constant_values=index[-1, -1]), tf.pad(weight, room)


def _blended_rows(image, index, weight):
    rows = tf.reshape(image, [tf.shape(image)[0], -1])
    upper, lower = (tf.cast(tf.gather(rows, index[:, k]), tf.float32) for k in (0, 1))
    return upper * weight[:, :1] + lower * weight[:, 1:]
