"""Random views of training images, drawn from boxes and sizes before any pixel is decoded.

Expanding, cropping, mirroring and resizing together are one rectangle of a frame, so pixels are
read only once.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from kdet.config import Augment
from kdet.data.augment.resize import Window


class View(NamedTuple):
    """The visible part of an image.

    Attributes:
        rows, columns: a `kdet.data.augment.resize.Window` for each axis.
        mirrored: () bool, whether it is mirrored left to right.
    """

    rows: Window
    columns: Window
    mirrored: tf.Tensor


def draw_view(size, boxes, augment: Augment, flip: float, seed) -> View:
    """Draws a random view.

    Args:
        size: (2,) int32 h, w of the image.
        boxes: (n, 4) float32 in pixels of the image.
        augment: the settings of expanding and cropping.
        flip: probability that the view is mirrored.
        seed: (2,) integers.
    """
    draws = tf.random.stateless_uniform((6,), _fold(seed, 0))
    frame, offset = size, tf.zeros(2, tf.int32)
    if augment.expand:
        frame, offset = _expanded(size, draws[:4], augment)
    start, length = tf.zeros(2, tf.int32), frame
    if augment.crops:
        inside = boxes + tf.cast(tf.tile(offset[::-1], [2]), tf.float32)
        start, length = tf.cond(
            tf.shape(boxes)[0] > 0,
            lambda: _cropped(frame, inside, augment, _fold(seed, 1)),
            lambda: (tf.zeros(2, tf.int32), frame),
        )
    rows, columns = (Window(start[k], length[k], offset[k], size[k]) for k in (0, 1))
    return View(rows, columns, draws[4] < flip)


def _fold(seed, number):
    return tf.random.experimental.stateless_fold_in(seed, number)


def _expanded(size, draws, augment):
    ratio = 1 + draws[1] * (augment.expand_ratio - 1)
    ratio = tf.where(draws[0] < augment.expand, ratio, 1.0)
    frame = tf.cast(tf.cast(size, tf.float32) * ratio, tf.int32)
    room = tf.cast(frame - size + 1, tf.float32)
    return frame, tf.minimum(tf.cast(draws[2:4] * room, tf.int32), frame - size)


def _cropped(frame, boxes, augment, seed):
    """Start and length, (2,) int32 each, of a random crop or of the whole frame.

    For each entry of `augment.crops`, the candidate is the first try that has at least this IoU
    with a box and contains the centre of a box. One of the candidates and the whole frame is drawn.
    """
    # All tries are computed at once, because a loop would take more time than the arithmetic.
    options, tries = len(augment.crops), augment.crop_tries
    draws = tf.random.stateless_uniform((4, options * tries), _fold(seed, 0))
    low, high = augment.crop_scale
    scale = low + draws[0] * (high - low)
    narrow, wide = augment.crop_aspect
    if augment.crop_clamps:
        aspect = narrow + draws[1] * (wide - narrow)
        aspect = tf.clip_by_value(aspect, scale**2, 1 / scale**2)
    else:
        narrow, wide = tf.maximum(narrow, scale**2), tf.minimum(wide, 1 / scale**2)
        aspect = narrow + draws[1] * (wide - narrow)
    root = tf.sqrt(aspect)
    full = tf.cast(frame, tf.float32)
    lengths = tf.stack([scale / root, scale * root], 1) * full
    lengths = tf.minimum(tf.maximum(tf.floor(lengths), 1.0), full)
    starts = tf.minimum(tf.floor(tf.transpose(draws[2:]) * (full - lengths + 1)), full - lengths)

    y1, x1 = tf.split(starts, 2, 1)
    y2, x2 = tf.split(starts + lengths, 2, 1)
    a1, b1, a2, b2 = tf.unstack(boxes, axis=1)  # against (options * tries, 1)
    shared = tf.maximum(tf.minimum(x2, a2) - tf.maximum(x1, a1), 0.0)
    shared *= tf.maximum(tf.minimum(y2, b2) - tf.maximum(y1, b1), 0.0)
    union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared
    best = tf.reduce_max(shared / union, 1)
    across, down = (a1 + a2) / 2, (b1 + b2) / 2
    holds = (x1 <= across) & (across < x2) & (y1 <= down) & (down < y2)
    least = tf.repeat(tf.constant(augment.crops, tf.float32), tries)
    good = tf.reshape((best >= least) & tf.reduce_any(holds, 1), [options, tries])
    first = tf.argmax(good, 1, tf.int32)
    lots = tf.random.stateless_uniform((options + 1,), _fold(seed, 1))
    offered = tf.concat([tf.reduce_any(good, 1), [True]], 0)
    chosen = tf.argmax(tf.where(offered, lots, -1.0), 0, tf.int32)
    number = tf.minimum(chosen, options - 1) * tries + first[tf.minimum(chosen, options - 1)]
    one = tf.cast(tf.stack([starts[number], lengths[number]]), tf.int32)
    whole = tf.stack([tf.zeros(2, tf.int32), frame])
    start, length = tf.unstack(tf.where(chosen == options, whole, one))
    return start, length


def view_boxes(boxes, view: View):
    """The boxes in a view before resizing, and which of them are kept.

    A box is kept if its centre is inside of the view. Boxes are clipped to the view.

    Args:
        boxes: (n, 4) float32 in pixels of the image.
        view: the view.
    Returns:
        (n, 4) float32 in pixels of the view, and (n,) bool, whether the box is kept.
    """
    shift = tf.stack([w.offset - w.start for w in (view.columns, view.rows)])
    far = tf.cast(tf.stack([view.columns.length, view.rows.length]), tf.float32)
    moved = boxes + tf.cast(tf.tile(shift, [2]), tf.float32)
    center = (moved[:, :2] + moved[:, 2:]) / 2
    keep = tf.reduce_all((center >= 0) & (center < far), 1)
    x1, y1, x2, y2 = tf.unstack(tf.clip_by_value(moved, 0.0, tf.tile(far, [2])), axis=1)
    x1, x2 = tf.where(view.mirrored, far[0] - x2, x1), tf.where(view.mirrored, far[0] - x1, x2)
    return tf.stack([x1, y1, x2, y2], 1), keep
