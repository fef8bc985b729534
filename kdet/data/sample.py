"""Views of images -> training images: one pass over rows, one over columns, colours on the way.

The sums of `kdet.data.resample` as small dense products: neighbouring pixels of the result read
nearly the same pixels of the image, so each strip of the result is one product. Beside a sparse
product it takes a fifth of the time, and the product over columns can mix colours for nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from kdet.data.resample import Window, taps

_STRIPS = 15  # of the result along each axis


class Line(NamedTuple):
    """How one axis of the result is made.

    Attributes:
        first: () int32, the first pixel of the result that the image reaches.
        count: () int32, how many it reaches.
        index: (count, k) int32 pixels of the image; weight: (count, k) float32.
        cover: (n,) float32, the share of the image in every pixel of the result.
    """

    first: tf.Tensor
    count: tf.Tensor
    index: tf.Tensor
    weight: tf.Tensor
    cover: tf.Tensor


def taps_of(method, window: Window, count, both_shrink):
    """`kdet.data.resample.taps` of a window.

    Args:
        method: one of `METHODS`, or () int32 and a tuple of methods that it chooses from.
        count: () int32, pixels of the result.
    """
    if isinstance(method, str):
        return taps(method, window.length, count, both_shrink)
    number, names = method
    ways = [lambda m=m: taps(m, window.length, count, both_shrink) for m in names]
    return tf.switch_case(number, ways)


def line(window: Window, index, weight, mirrored=False) -> Line:
    """What `taps_of` weighs, as far as it is the image's.

    Args:
        mirrored: () bool.
    """
    source = index + (window.start - window.offset)
    weight = tf.where((source >= 0) & (source < window.size), weight, 0.0)
    count = tf.shape(index)[0]
    order = tf.where(mirrored, tf.range(count - 1, -1, -1), tf.range(count))
    source, weight = tf.gather(source, order), tf.gather(weight, order)
    used = tf.reduce_any(weight != 0, 1)
    reached = tf.reduce_sum(tf.cast(used, tf.int32))
    first = tf.argmax(used, output_type=tf.int32)
    part = slice(first, first + reached)
    source = tf.clip_by_value(source[part], 0, window.size - 1)
    return Line(first, reached, source, weight[part], tf.reduce_sum(weight, 1))


def narrowed(image, rows: Line, columns: Line):
    """The part of an image that is looked at, and the lines counted from there."""

    def reach(axis, size):
        some = axis.count > 0
        low = tf.where(some, tf.reduce_min(axis.index), 0)
        high = tf.where(some, tf.reduce_max(axis.index), size - 1) + 1
        return low, high, axis._replace(index=axis.index - low)

    top, bottom, rows = reach(rows, tf.shape(image)[0])
    left, right, columns = reach(columns, tf.shape(image)[1])
    return image[top:bottom, left:right], rows, columns


def mix_rows(image, rows: Line):
    """The pass over rows.

    Args:
        image: (h, w, c), any number type.
    Returns:
        (rows.count, w * c) float32.
    """
    height, width, channels = tf.unstack(tf.shape(image))
    flat = tf.reshape(tf.cast(image, tf.float32), [height, width * channels])
    base, dense = _strips(rows, height)
    parts = tf.gather(flat, base[:, None] + tf.range(tf.shape(dense)[2]))
    return tf.reshape(tf.matmul(dense, parts), [-1, width * channels])[: rows.count]


def mix_columns(mixed, columns: Line, colours):
    """The pass over columns, and over channels.

    Args:
        mixed: (n, w * 3) of `mix_rows`.
        colours: (3, 3) float32: pixel @ colours is the result's.
    Returns:
        (n, columns.count * 3) float32.
    """
    base, dense = _strips(columns, tf.shape(mixed)[1] // 3)
    _, wide, reach = tf.unstack(tf.shape(dense))
    dense = tf.reshape(tf.transpose(dense, [0, 2, 1]), [-1, 1])
    weight = tf.reshape(dense @ tf.reshape(colours, [1, 9]), [_STRIPS * reach, wide, 3, 3])
    weight = tf.reshape(tf.transpose(weight, [0, 2, 1, 3]), [_STRIPS, reach * 3, wide * 3])
    strips = []
    for k in range(_STRIPS):
        part = mixed[:, 3 * base[k] : 3 * (base[k] + reach)]
        strips.append(tf.matmul(part, weight[k]))
    return tf.concat(strips, 1)[:, : columns.count * 3]


def _strips(axis: Line, size):
    """First pixel (s,) and dense weights (s, pixels of the result, pixels of the image)."""
    wide = tf.maximum(-(-axis.count // _STRIPS), 1)
    spare = [[0, _STRIPS * wide - axis.count], [0, 0]]
    # spare rows repeat pixel 0 of nothing; they are taken for the strip's own first pixel below
    index = tf.reshape(tf.pad(axis.index, spare, constant_values=-1), [_STRIPS, -1])
    weight = tf.reshape(tf.pad(axis.weight, spare), [_STRIPS, -1])
    there = index >= 0
    base = tf.reduce_min(tf.where(there, index, size - 1), 1)
    reach = tf.reduce_max(tf.where(there, index - base[:, None], 0)) + 1
    base = tf.minimum(base, size - reach)
    place = tf.where(there, index - base[:, None], 0)
    each = tf.shape(axis.index)[1]
    row = tf.repeat(tf.range(_STRIPS * wide), each)
    flat = row * reach + tf.reshape(place, [-1])
    dense = tf.scatter_nd(flat[:, None], tf.reshape(weight, [-1]), [_STRIPS * wide * reach])
    return base, tf.reshape(dense, [_STRIPS, wide, reach])


def placed(part, rows: Line, columns: Line):
    """(rows, columns * 3) zeros with `part` where the image reaches."""
    high, wide = tf.shape(rows.cover)[0], tf.shape(columns.cover)[0]
    below = high - rows.first - rows.count
    right = wide - columns.first - columns.count
    return tf.pad(part, [[rows.first, below], [3 * columns.first, 3 * right]])
