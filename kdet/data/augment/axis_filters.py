"""Computes training images from views: a pass over rows, and a pass over columns and channels.

The result is the same weighted sum as in `kdet.data.augment.resize`, computed with small dense
matrix products. Neighbouring pixels of the result read nearly the same pixels of the image, so the
result is split into strips, and each strip is one product. This takes a fifth of the time of a
sparse product, and the product over columns can change colours at no cost. Copies and the number of
operations take as much time as the sums. So pixels are uint8 until their strip is cut, and Lanczos
weights are computed in the form in which they are used.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from kdet.data.augment.resize import Window, lanczos_kernel, resize_weights

_STRIPS = 15  # number of strips of the result along each axis
_WIDE = 20  # rows per strip if the number of strips depends on the image


class AxisFilter(NamedTuple):
    """The filter of one axis: s strips of i result pixels, each computed from j image pixels.

    Attributes:
        first: () int32, the first pixel of the result that depends on the image.
        count: () int32, the number of such pixels. s * i may be a little larger.
        base: (s,) int32, the first image pixel of each strip, which may be outside of the image.
        weight: (s, j, i) float32, 0 outside of the image.
        cover: (s * i,) float32, the sum of the weights of image pixels for each result pixel.
    """

    first: tf.Tensor
    count: tf.Tensor
    base: tf.Tensor
    weight: tf.Tensor
    cover: tf.Tensor


def axis_filter(method, window: Window, side, both_shrink, mirrored=None, strips=_STRIPS):
    """The `AxisFilter` of one axis of a view.

    Args:
        method: one of `METHODS`, or a pair of () int32 and a tuple of methods, to select one.
        window: the `Window` of the view.
        side: () int32, pixels of the result.
        both_shrink: () bool, see `resize_weights`.
        mirrored: () bool, or None.
        strips: number of strips. None makes one strip for `_WIDE` pixels.
    """
    if method == "lanczos":
        return _lanczos_filter(window, side, mirrored, strips)
    if isinstance(method, str):
        index, weight = resize_weights(method, window.length, side, both_shrink)
    else:
        number, names = method
        ways = [lambda m=m: resize_weights(m, window.length, side, both_shrink) for m in names]
        index, weight = tf.switch_case(number, ways)
    if mirrored is not None:
        order = tf.abs(tf.where(mirrored, side - 1, 0) - tf.range(side))
        index, weight = tf.gather(index, order), tf.gather(weight, order)
    return dense_filter(index + (window.start - window.offset), weight, window.size, strips)


def dense_filter(index, weight, size, strips) -> AxisFilter:
    """The `AxisFilter` of indices and weights as `resize_weights` returns them.

    Args:
        index, weight: (n, k), for each pixel of the result. Indices may be outside of the image.
        size: () int32, pixels of the image.
        strips: see `axis_filters`.
    """
    weight = tf.where((index >= 0) & (index < size), weight, 0.0)
    used = (tf.reduce_max(index, 1) >= 0) & (tf.reduce_min(index, 1) < size)
    first, count, place, (strips, wide) = _places(used, strips)
    index, weight = tf.gather(index, place), tf.gather(weight, place)
    each = tf.shape(index)[1]
    index = tf.reshape(index, [strips, wide * each])
    base = tf.reduce_min(index, 1)
    index -= base[:, None]
    reach = tf.reduce_max(index) + 1
    index += tf.range(strips)[:, None] * reach
    flat = tf.reshape(index, [strips * wide, each]) * wide
    flat = tf.reshape(flat + (tf.range(strips * wide) % wide)[:, None], [-1, 1])
    dense = tf.scatter_nd(flat, tf.reshape(weight, [-1]), [strips * reach * wide])
    cover = tf.reduce_sum(weight, 1)
    return AxisFilter(first, count, base, tf.reshape(dense, [strips, reach, wide]), cover)


def _places(used, strips):
    """First used pixel, number of used pixels, pixels of all strips, (strips, pixels per strip)."""
    count = tf.reduce_sum(tf.cast(used, tf.int32))
    first = tf.argmax(used, output_type=tf.int32)
    if strips is None:
        strips = tf.maximum(-(-count // _WIDE), 1)
    wide = tf.maximum(-(-count // strips), 1)
    # Places after the end repeat the last pixel, and `mix_rows` and `mix_columns` cut them off.
    place = first + tf.minimum(tf.range(strips * wide), tf.maximum(count - 1, 0))
    return first, count, place, (strips, wide)


def _lanczos_filter(window, side, mirrored, strips):
    """An `AxisFilter` with the Lanczos weights of `resize_weights`, computed strip by strip."""
    scale = tf.cast(window.length, tf.float64) / tf.cast(side, tf.float64)
    pixel = tf.range(side)
    if mirrored is not None:
        pixel = tf.abs(tf.where(mirrored, side - 1, 0) - pixel)
    wide = tf.maximum(scale, 1.0)
    center, half = (tf.cast(pixel, tf.float64) + 0.5) * scale, 3 * wide
    offset, length = window.offset - window.start, window.length
    low, high = tf.cast(offset, tf.float64), tf.cast(offset + window.size, tf.float64)
    used = (center + half > low) & (center - half < high)
    first, count, place, shape = _places(used, strips)
    center = tf.reshape(tf.gather(center, place), shape)
    base = tf.maximum(tf.cast(tf.reduce_min(center, 1) - half, tf.int32), 0)
    stop = tf.cast(tf.reduce_max(center, 1) + half, tf.int32) + 1
    stop = tf.minimum(stop, length)
    step = tf.range(tf.reduce_max(stop - base))
    source = base[:, None] + step
    start = tf.cast((tf.cast(base, tf.float64)[:, None] + 0.5 - center) / wide, tf.float32)
    step = tf.cast(step, tf.float32) / tf.cast(wide, tf.float32)
    weight = lanczos_kernel(start[:, None], step[:, None])
    weight *= tf.cast(source < length, tf.float32)[:, :, None]
    image = tf.cast((source >= offset) & (source < offset + window.size), tf.float32)[:, :, None]
    weight *= image / tf.reduce_sum(weight, 1, keepdims=True)
    return AxisFilter(
        first, count, base - offset, weight, tf.reshape(tf.reduce_sum(weight, 1), [-1])
    )


def source_range(axis: AxisFilter, size):
    """The first image pixel that is read, and the one after the last."""
    low = tf.clip_by_value(tf.reduce_min(axis.base), 0, size - 1)
    high = tf.reduce_max(axis.base) + tf.shape(axis.weight)[1]
    return low, tf.clip_by_value(high, low + 1, size)


def mix_rows(image, rows: AxisFilter):
    """The pass over rows.

    Args:
        image: (h, w, c) of any numeric dtype.
        rows: the filter of the vertical axis.
    Returns:
        (rows.count, w * c) float32.
    """
    height, width, channels = tf.unstack(tf.shape(image))
    source = rows.base[:, None] + tf.range(tf.shape(rows.weight)[1])
    source = tf.clip_by_value(source, 0, height - 1)
    parts = tf.gather(tf.reshape(image, [height, width * channels]), source)
    mixed = tf.matmul(rows.weight, tf.cast(parts, tf.float32), transpose_a=True)
    return tf.reshape(mixed, [-1, width * channels])[: rows.count]


def mix_columns(mixed, columns: AxisFilter, colours, light=None):
    """The pass over columns and over channels.

    Args:
        mixed: (n, w * 3), the result of `mix_rows`.
        columns: the filter of the horizontal axis.
        colours: (3, 3) float32. A pixel p becomes p @ colours.
        light: (s * i, 3) float32, added to the result.
    Returns:
        (n, columns.count * 3) float32.
    """
    _, reach, wide = tf.unstack(tf.shape(columns.weight))
    strips = columns.base.shape[0]
    colours = tf.eye(wide)[:, None, :, None] * colours[:, None]  # (wide, 3, wide, 3)
    weight = tf.reshape(columns.weight, [strips * reach, wide])
    weight = tf.matmul(weight, tf.reshape(colours, [wide, 9 * wide]))
    weight = tf.reshape(weight, [strips * 3 * reach, 3 * wide])
    # First index and number of the pixels of each strip inside of the image, and of their weights.
    size = tf.shape(mixed)[1] // 3
    low = tf.clip_by_value(columns.base, 0, size)
    length = tf.clip_by_value(columns.base + reach, low, size) - low
    skip = tf.maximum(low - columns.base, 0) + tf.range(strips) * reach
    zero = tf.zeros_like(low)
    starts = tf.unstack(3 * tf.stack([zero, low], 1), strips)
    skips = tf.unstack(3 * tf.stack([skip, zero], 1), strips)
    high = tf.zeros_like(low) + tf.shape(mixed)[0]
    sizes = tf.unstack(tf.stack([high, 3 * length], 1), strips)
    needs = tf.unstack(3 * tf.stack([length, zero + wide], 1), strips)
    parts = [
        tf.matmul(tf.slice(mixed, starts[k], sizes[k]), tf.slice(weight, skips[k], needs[k]))
        for k in range(strips)
    ]
    if light is not None:
        light = tf.unstack(tf.reshape(light, [strips, 3 * wide]), strips)
        parts = [tf.nn.bias_add(part, add) for part, add in zip(parts, light)]
    return tf.slice(tf.concat(parts, 1), [0, 0], tf.stack([-1, columns.count * 3]))


def pad_to(part, rows: AxisFilter, columns: AxisFilter, side):
    """(side, side * 3), which is `part` where the image is and 0 elsewhere."""
    below = side - rows.first - rows.count
    right = side - columns.first - columns.count
    room = [[rows.first, below], [3 * columns.first, 3 * right]]
    return tf.pad(part, room)
