"""Images of another size, as OpenCV and Pillow compute them: sparse products over rows and columns.

Every method is separable: a pixel of the result is a weighted sum over a few rows and a few
columns. A `Window` says what is sampled: a rectangle in a frame in which the image lies somewhere,
so that padding around, a crop, another size and a mirrored image are one pass over the pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

METHODS = ("nearest", "linear", "cubic", "area", "lanczos4", "lanczos")


class Window(NamedTuple):
    """What is sampled along one axis; whole pixels, () int32 each, in a frame of one's own choice.

    Attributes:
        start, length: the part of the frame that is sampled; nothing outside is looked at.
        offset, size: where the image lies in the frame.
    """

    start: tf.Tensor
    length: tf.Tensor
    offset: tf.Tensor
    size: tf.Tensor


def whole(size) -> Window:
    """The window that is the image itself."""
    return Window(0, size, 0, size)


def resize_weights(method: str, length, count, both_shrink=True):
    """Which pixels make up each pixel of a resized line, and how much each counts.

    "nearest", "linear", "cubic" (a = -0.75), "area" and "lanczos4" are OpenCV's: pixels at the ends
    are repeated and nothing is smoothed before shrinking, except by "area". "lanczos" is Pillow's:
    three lobes, widened when shrinking, and cut off at the ends.

    Args:
        length, count: () int32, pixels before and after.
        both_shrink: () bool for "area": whether neither axis grows; if not, OpenCV interpolates
            linearly.
    Returns:
        index (count, k) int32 in 0..length-1, weight (count, k) float32; rows of weight sum to 1.
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
        return _linear(place, last)
    first = tf.floor(place)
    share = (place - first)[:, None]
    if method == "cubic":
        reach = share + tf.constant([1.0, 0.0, -1.0, -2.0], tf.float64)
        return _line(first - 1, _cubic(tf.abs(reach)), last)
    reach = share + tf.constant([3.0, 2, 1, 0, -1, -2, -3, -4], tf.float64)
    weight = _sinc(reach) * _sinc(reach / 4)
    return _line(first - 3, weight / tf.reduce_sum(weight, 1, keepdims=True), last)


def _line(first, weight, last):
    """Consecutive pixels from `first` on; those beyond the ends are the end pixels."""
    step = tf.range(tf.shape(weight)[1])
    index = tf.cast(first, tf.int32)[:, None] + step
    return tf.clip_by_value(index, 0, last), tf.cast(weight, tf.float32)


def _linear(place, last):
    """The two pixels around each place, () float64 counted from the middle of the first pixel."""
    first = tf.floor(place)
    share = (place - first)[:, None]
    return _line(first, tf.concat([1 - share, share], 1), last)


def _cubic(x):
    a = -0.75
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return tf.where(x <= 1, near, far)


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
    """sinc(z) sinc(z / 3) up to z = 3 and then 0; z = x + y are many more than x and y.

    One sine is enough, as sin 3a = 3 sin a - 4 sin^3 a, and its sum needs none: sin(a + b).
    """
    square = tf.square(x + y)
    x, y = x * (math.pi / 3), y * (math.pi / 3)
    third = tf.square(tf.sin(x) * tf.cos(y) + tf.cos(x) * tf.sin(y))
    weight = third * (9 - 12 * third) / (square * math.pi**2)
    # within a hundredth of the middle the weight is 1 to 2e-4, and the quotient loses digits
    return tf.where(square < 1e-4, 1.0, tf.where(square < 9, weight, 0.0))


def resample(image, rows, columns, round_between=False):
    """The weighted sums; frame pixels outside of the image count as 0.

    Args:
        image: (h, w, c), any number type.
        rows, columns: (Window, index, weight); index and weight as from `resize_weights`, counted
            from the window's start.
        round_between: round and clip to 0..255 between the passes, the columns' first, as Pillow
            did when the numbers to meet were made.
    Returns:
        (rows, columns, c) float32.
    """
    image = tf.cast(image, tf.float32)
    if round_between:
        image = round_pixels(_columns(image, *columns))
        return _rows(image, *rows)
    return _columns(_rows(image, *rows), *columns)


def round_pixels(image):
    """Nearest whole numbers in 0..255, still float32."""
    return tf.clip_by_value(tf.floor(image + 0.5), 0.0, 255.0)


def _rows(image, window, index, weight, total=None):
    """The pass over rows; `total` pads the result with rows of zeros to this many."""
    height, width, channels = tf.unstack(tf.shape(image))
    matrix = tf.reshape(image, [height, width * channels])
    source = index + (window.start - window.offset)
    weight = tf.where((source >= 0) & (source < height), weight, tf.zeros_like(weight))
    source = tf.clip_by_value(source, 0, height - 1)
    count, each = tf.unstack(tf.shape(index))
    target = tf.repeat(tf.range(count), each)
    total = count if total is None else total
    # As a sparse product: a third less time than gathers and a blend, and it pads as well.
    flat = tf.raw_ops.SparseTensorDenseMatMul(
        a_indices=tf.cast(tf.stack([target, tf.reshape(source, [-1])], 1), tf.int64),
        a_values=tf.reshape(weight, [-1]),
        a_shape=tf.cast(tf.stack([total, height]), tf.int64),
        b=matrix,
    )
    return tf.reshape(flat, [total, width, channels])


def _columns(image, *filter_and_total):
    # Each pass mixes whole rows, which are contiguous; so the columns' pass works on the transpose.
    image = _rows(tf.transpose(image, [1, 0, 2]), *filter_and_total)
    return tf.transpose(image, [1, 0, 2])


def resize(image, method: str, size):
    """A whole image at another size.

    Args:
        image: (h, w, c) uint8.
        size: (height, width), () int32 each.
    Returns:
        (height, width, c) float32 of whole numbers in 0..255, as OpenCV or Pillow round them.
    """
    old = tf.unstack(tf.shape(image)[:2])
    shrink = (old[0] >= size[0]) & (old[1] >= size[1])
    lines = [(whole(n), *resize_weights(method, n, m, shrink)) for n, m in zip(old, size)]
    return round_pixels(resample(image, *lines, round_between=method == "lanczos"))


def resize_by_scale(image, scale, size, canvas):
    """Bilinear resizing with the sampling grid given by the scale, not by the ratio of sizes.

    Output pixel p reads at (p + 0.5) / scale - 0.5 (half-pixel centres), edges are repeated and
    nothing is smoothed before shrinking: OpenCV's INTER_LINEAR with fx = fy = scale.

    Args:
        image: (h, w, c) float32.
        scale: () float64.
        size: height and width of the result, () int32 each.
        canvas: (2,) int32 h, w; zeros beyond `size`. Must not be smaller.
    Returns:
        (canvas h, canvas w, c) float32.
    """
    filters = []
    for axis in (0, 1):
        pixel = tf.range(tf.cast(size[axis], tf.float64), dtype=tf.float64)
        length = tf.shape(image)[axis]
        filters.append((whole(length), *_linear((pixel + 0.5) / scale - 0.5, length - 1)))
    return _rows(_columns(image, *filters[1], canvas[1]), *filters[0], canvas[0])
