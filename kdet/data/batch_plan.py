"""How large an image becomes, which canvas it goes on, and which images make up which batch.

Everything is computed before the first image is read, from sizes alone: a run that is started again
at step k takes row k, and every worker knows the batches of all others.
"""

from __future__ import annotations

import numpy as np

from kdet.config import Data
from kdet.errors import DataError


def resized_shape(height, width, data: Data, xp=np):
    """Scale and size of images after resizing, by the reference's rules.

    "scale": the short side becomes `data.short_side`, unless the long side, rounded, then exceeds
    `data.long_side`; sizes are rounded half to even. "stretch": both become `data.short_side`.

    Args:
        height, width: integers, arrays or tensors of one shape.
        xp: `numpy`, or `tensorflow` to trace.
    Returns:
        scale (float64; of "stretch" a pair, of height and of width), new height and new width
        (int32, at least 1), of that same shape.
    """
    real, whole = xp.float64, xp.int32
    cast = xp.cast if xp is not np else lambda x, dtype: np.asarray(x, dtype)
    height, width = cast(height, real), cast(width, real)
    if data.resize == "stretch":
        side = cast(xp.zeros_like(height) + data.short_side, whole)
        return (data.short_side / height, data.short_side / width), side, side
    short, long = xp.minimum(height, width), xp.maximum(height, width)
    scale = data.short_side / short
    scale = xp.where(xp.round(scale * long) > data.long_side, data.long_side / long, scale)
    size = (cast(xp.maximum(xp.round(scale * side), 1.0), whole) for side in (height, width))
    return scale, *size


def canvas_index(height, width, canvases, xp=np):
    """Number of the smallest canvas that holds each (resized) image; -1 where none does.

    Args:
        height, width: integer arrays or tensors of one shape.
        canvases: (height, width) pairs, smallest first (`Data.canvas_sizes`).
        xp: `numpy`, or `tensorflow` to trace.
    Returns:
        int32, of the same shape.
    """
    index = xp.zeros_like(height) - 1
    for k in reversed(range(len(canvases))):
        fits = (height <= canvases[k][0]) & (width <= canvases[k][1])
        index = xp.where(fits, xp.zeros_like(index) + k, index)
    return index


def canvases_of(sizes, canvases, data: Data) -> np.ndarray:
    """(n,) int32, the canvas of each image of `sizes`, (n, 2) h, w before resizing.

    Raises:
        DataError: an image fits on no canvas.
    """
    _, height, width = resized_shape(sizes[:, 0], sizes[:, 1], data)
    index = canvas_index(height, width, canvases)
    lost = np.flatnonzero(index < 0)
    if len(lost):
        raise DataError(
            f"record {lost[0]}: expected a canvas of at least {height[lost[0]]} x {width[lost[0]]} "
            f"pixels, got {', '.join(f'{h} x {w}' for h, w in canvases)}"
        )
    return index


def batch_plan(sizes, canvases, data: Data, batch: int, steps: int, seed: int):
    """Which records make up which training batch.

    Each epoch is a new permutation of all records. Images queue up for their canvas, a full queue
    becomes a batch, and what is left in a queue goes on into the next epoch: every record is used
    once per epoch, late by less than a queue. Fewer steps give the beginning of the same plan.

    Args:
        sizes: (n, 2) integers, h, w of the stored images.
        canvases: (height, width) pairs, smallest first.
        batch: images per step, all workers together.
        seed: not negative.
    Returns:
        records: (steps, batch) int64, record numbers.
        canvas: (steps,) int32, canvas number of each batch.
    Raises:
        DataError: no records, an image that fits on no canvas, or a batch below 1.
    """
    _check(sizes, batch)
    count, canvas = len(sizes), canvases_of(sizes, canvases, data)
    waiting = len(canvases) * (batch - 1)  # at most this many images are left in the queues
    epochs = -(-(steps * batch + waiting) // count)
    order = np.concatenate([np.arange(0), *(_shuffled(count, seed, e) for e in range(epochs))])
    batches, full = [], []
    for k in range(len(canvases)):
        queue = np.flatnonzero(canvas[order] == k)
        whole = queue[: len(queue) // batch * batch].reshape(-1, batch)
        batches.append(whole)
        full.append(whole[:, -1])
    batches, full = np.concatenate(batches), np.concatenate(full)
    records = order[batches[np.argsort(full)[:steps]]].astype(np.int64)
    return records, canvas[records[:, 0]]


def _shuffled(count, seed, epoch):
    # Raw Philox bits are fixed for ever; NumPy may change what `permutation` makes of them.
    keys = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(count)
    return np.argsort(keys, kind="stable")


def side_plan(data: Data, steps: int, seed: int) -> np.ndarray:
    """(steps,) int32, the side of every stretched training batch, one of `data.train_sides()`.

    The same for all workers; fewer steps give the beginning of the same plan.
    """
    sides = np.array(data.train_sides(), np.int32)
    bits = np.random.Philox(key=np.array([seed, 2**64 - 1], np.uint64)).random_raw(steps)
    return sides[(bits >> np.uint64(11)) % np.uint64(len(sides))]


def eval_plan(sizes, canvases, data: Data, batch: int):
    """Which records make up which evaluation batch: each record once, grouped by canvas.

    Args: see `batch_plan`.
    Returns:
        records: (steps, batch) int64; the last batch of a canvas is filled up with its last image.
        canvas: (steps,) int32.
        real: (steps, batch) bool, False where filled up.
    Raises:
        DataError: no records, an image that fits on no canvas, or a batch below 1.
    """
    if not len(sizes) or batch < 1:
        raise DataError(
            f"a plan needs records and a batch, got {len(sizes)} records, batch {batch}"
        )
    _check(sizes, batch)
    index = canvases_of(sizes, canvases, data)
    records, real = [], []
    for k in range(len(canvases)):
        mine = np.flatnonzero(index == k)
        fill = -len(mine) % batch
        records.append(np.concatenate([mine, mine[-1:].repeat(fill)]).reshape(-1, batch))
        real.append((np.arange(len(mine) + fill) < len(mine)).reshape(-1, batch))
    records, real = np.concatenate(records).astype(np.int64), np.concatenate(real)
    return records, index[records[:, 0]], real


def _check(sizes, batch):
    if not len(sizes) or batch < 1:
        raise DataError(f"expected records and a batch, got {len(sizes)} records, batch {batch}")
