"""Resizes images like OpenCV and Pillow, with sparse matrix products over rows and columns.

Every method is separable: a pixel of the result is a weighted sum over a few rows and a few
columns. A `Window` is a rectangle in a frame that contains the image. So padding, cropping,
resizing and mirroring together are one pass over the pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

METHODS = ("nearest", "linear", "cubic", "area", "lanczos4", "lanczos")


class Window(NamedTuple):
    """The part of a frame that is sampled along one axis. All values are () int32, in pixels.

    Attributes:
        start, length: first pixel and length of the part of the frame that is sampled.
        offset, size: first pixel and length of the image in the frame.
    """

    start: tf.Tensor
    length: tf.Tensor
    offset: tf.Tensor
    size: tf.Tensor


def whole(size) -> Window:
    """The window that samples the whole image, without a frame."""
    return Window(0, size, 0, size)


def resize_weights(method: str, length, count, both_shrink=True):
    """The input pixels and weights for each pixel of a resized line.

    "nearest", "linear", "cubic" (a = -0.75), "area" and "lanczos4" are OpenCV's methods. They
    repeat the pixels at the ends, and only "area" smooths before shrinking. "lanczos" is Pillow's
    method. Its three lobes become wider when shrinking, and they are cut off at the ends.

    Args:
        method: one of `METHODS`.
        length, count: () int32, pixels before and after resizing.
        both_shrink: () bool for "area", True if no axis grows. Otherwise OpenCV uses a linear
            interpolation.
    Returns:
        index (count, k) int32 in 0..length-1 and weight (count, k) float32, whose rows sum to 1.
    """
    scale = tf.cast(length, tf.float64) / tf.cast(count, tf.float64)
    pixel = tf.range(tf.cast(count, tf.float64), dtype=tf.float64)
    last = length - 1
    if method == "area":
        grown = lambda: _line(*_area_growing(pixel, scale), last)  # noqa: E731
        return tf.cond(both_shrink, lambda: _area(pixel, scale, length), grown)
    if method == "lanczos":
        return _lanczos(pixel, scale, length)
    if method == "nearest":
        return _line(tf.floor(pixel * scale), tf.ones_like(pixel)[:, None], last)
    place = (pixel + 0.5) * scale - 0.5
    if method == "linear":
        return linear_weights(place, last)
    first = tf.floor(place)
    share = (place - first)[:, None]
    if method == "cubic":
        reach = share + tf.constant([1.0, 0.0, -1.0, -2.0], tf.float64)
        return _line(first - 1, _cubic(tf.abs(reach)), last)
    reach = share + tf.constant([3.0, 2, 1, 0, -1, -2, -3, -4], tf.float64)
    weight = _sinc(reach) * _sinc(reach / 4)
    return _line(first - 3, weight / tf.reduce_sum(weight, 1, keepdims=True), last)


def _line(first, weight, last):
    """Indices from `first` on, clipped to the ends, together with their weights."""
    step = tf.range(tf.shape(weight)[1])
    index = tf.cast(first, tf.int32)[:, None] + step
    return tf.clip_by_value(index, 0, last), tf.cast(weight, tf.float32)


def linear_weights(place, last):
    """The two pixels around each place, and their weights, like `resize_weights`.

    Args:
        place: (count,) float64, where 0 is the centre of pixel 0.
        last: () int32, the last pixel of the line.
    """
    first = tf.floor(place)
    share = (place - first)[:, None]
    return _line(first, tf.concat([1 - share, share], 1), last)


def _cubic(x):
    a = -0.75
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return tf.where(x <= 1, inner, outer)


def _sinc(x):
    x = math.pi * x
    safe = tf.where(x == 0, tf.ones_like(x), x)
    return tf.where(x == 0, tf.ones_like(x), tf.sin(safe) / safe)


def _area(pixel, scale, length):
    start = pixel * scale
    end = tf.minimum(start + scale, tf.cast(length, tf.float64))
    first = tf.floor(start)
    index = first[:, None] + tf.range(tf.math.ceil(scale) + 1, dtype=tf.float64)
    overlap = tf.minimum(index + 1, end[:, None]) - tf.maximum(index, start[:, None])
    overlap = tf.maximum(overlap, 0.0)
    return _line(first, overlap / tf.reduce_sum(overlap, 1, keepdims=True), length - 1)


def _area_growing(pixel, scale):
    first = tf.floor(pixel * scale)
    share = tf.maximum(pixel + 1 - (first + 1) / scale, 0.0)
    share = (share - tf.floor(share))[:, None]
    return first, tf.concat([1 - share, share], 1)


def _lanczos(pixel, scale, length):
    wide = tf.maximum(scale, 1.0)
    center, end = (pixel + 0.5) * scale, tf.cast(length, tf.float64)
    first = tf.maximum(tf.floor(center - 3 * wide + 0.5), 0.0)
    stop = tf.minimum(tf.floor(center + 3 * wide + 0.5), end)
    index = first[:, None] + tf.range(tf.math.ceil(6 * wide) + 1, dtype=tf.float64)
    start = tf.cast((first - center + 0.5) / wide, tf.float32)[:, None]
    step = tf.cast(tf.range(tf.shape(index)[1]), tf.float32) / tf.cast(wide, tf.float32)
    weight = lanczos_kernel(start, step)
    weight = tf.where(index < stop[:, None], weight, tf.zeros_like(weight))
    return _line(first, weight / tf.reduce_sum(weight, 1, keepdims=True), length - 1)


def lanczos_kernel(x, y):
    """The Lanczos kernel of z = x + y: sinc(z) sinc(z / 3) for |z| < 3, else 0.

    x and y are broadcast, so they have far fewer elements than z. The formulas for sin(a + b) and
    sin 3a = 3 sin a - 4 sin^3 a need only sines and cosines of x and y.
    """
    square = tf.square(x + y)
    x, y = x * (math.pi / 3), y * (math.pi / 3)
    third = tf.square(tf.sin(x) * tf.cos(y) + tf.cos(x) * tf.sin(y))
    weight = third * (9 - 12 * third) / (square * math.pi**2)
    # for |z| < 0.01 the weight is 1 up to 2e-4, and the quotient would lose digits
    return tf.where(square < 1e-4, 1.0, tf.where(square < 9, weight, 0.0))


def resample(image, rows, columns, round_between=False):
    """Computes the weighted sums. Pixels of the frame outside of the image are 0.

    Args:
        image: (h, w, c) of any numeric dtype.
        rows, columns: (Window, index, weight). Index and weight are from `resize_weights`, and
            index counts from the start of the window.
        round_between: True resizes columns first and rounds to 0..255 between the passes, like the
            version of Pillow that made the reference's results.
    Returns:
        (rows, columns, c) float32.
    """
    image = tf.cast(image, tf.float32)
    if round_between:
        image = round_pixels(_columns(image, *columns))
        return _rows(image, *rows)
    return _columns(_rows(image, *rows), *columns)


def round_pixels(image):
    """The nearest whole numbers in 0..255, as float32."""
    return tf.clip_by_value(tf.floor(image + 0.5), 0.0, 255.0)


def _rows(image, window, index, weight):
    """The pass over rows."""
    height, width, channels = tf.unstack(tf.shape(image))
    matrix = tf.reshape(image, [height, width * channels])
    source = index + (window.start - window.offset)
    weight = tf.where((source >= 0) & (source < height), weight, tf.zeros_like(weight))
    source = tf.clip_by_value(source, 0, height - 1)
    count, each = tf.unstack(tf.shape(index))
    target = tf.repeat(tf.range(count), each)
    # A sparse product takes a third less time than gathering and blending.
    flat = tf.raw_ops.SparseTensorDenseMatMul(
        a_indices=tf.cast(tf.stack([target, tf.reshape(source, [-1])], 1), tf.int64),
        a_values=tf.reshape(weight, [-1]),
        a_shape=tf.cast(tf.stack([count, height]), tf.int64),
        b=matrix,
    )
    return tf.reshape(flat, [count, width, channels])


def _columns(image, *line):
    # Each pass sums whole rows, which are contiguous, so this pass works on the transposed image.
    image = _rows(tf.transpose(image, [1, 0, 2]), *line)
    return tf.transpose(image, [1, 0, 2])


def resize(image, method: str, size):
    """Resizes a whole image.

    Args:
        image: (h, w, c) uint8.
        method: one of `METHODS`.
        size: (height, width), () int32 each.
    Returns:
        (height, width, c) float32, whole numbers in 0..255, rounded like OpenCV or Pillow.
    """
    old = tf.unstack(tf.shape(image)[:2])
    shrink = (old[0] >= size[0]) & (old[1] >= size[1])
    lines = [(whole(n), *resize_weights(method, n, m, shrink)) for n, m in zip(old, size)]
    return round_pixels(resample(image, *lines, round_between=method == "lanczos"))
