"""The size of each resized image, its canvas, and the images of each batch.

All of this is computed from image sizes before the first image is read. So a run that resumes at
step k takes row k of the plan, and every worker has the same plan.
"""

from __future__ import annotations

import numpy as np

from kdet.config import Data
from kdet.errors import DataError


def resized_shape(height, width, data: Data, xp=np):
    """The scale and the size of images after resizing, as in the reference.

    With "scale" the short side becomes `data.short_side`. If the long side, rounded, then exceeds
    `data.long_side`, the long side becomes `data.long_side`. Sizes are rounded half to even. With
    "stretch" both sides become `data.short_side`.

    Args:
        height, width: integers, arrays or tensors of one shape.
        xp: `numpy`, or `tensorflow` for a traced function.
    Returns:
        scale (float64; for "stretch" a pair, of height and of width), new height and new width
        (int32, at least 1). All have the shape of `height`.
    """
    # float64 like the reference, because float32 rounds some sizes to another number of pixels
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
    """The index of the smallest canvas that each resized image fits on, or -1 if it fits on none.

    Args:
        height, width: integer arrays or tensors of one shape.
        canvases: (height, width) pairs, smallest first (`Data.canvas_sizes`).
        xp: `numpy`, or `tensorflow` for a traced function.
    Returns:
        int32 of the same shape.
    """
    index = xp.zeros_like(height) - 1
    for k in reversed(range(len(canvases))):
        fits = (height <= canvases[k][0]) & (width <= canvases[k][1])
        index = xp.where(fits, xp.zeros_like(index) + k, index)
    return index


def canvases_of(sizes, canvases, data: Data) -> np.ndarray:
    """(n,) int32, the canvas index of each image. `sizes` is (n, 2) h, w before resizing.

    Raises:
        DataError: an image fits on no canvas.
    """
    _, height, width = resized_shape(sizes[:, 0], sizes[:, 1], data)
    index = canvas_index(height, width, canvases)
    large = np.flatnonzero(index < 0)
    if len(large):
        k = large[0]
        raise DataError(
            f"record {k}: expected a canvas of at least {height[k]} x {width[k]} "
            f"pixels, got {', '.join(f'{h} x {w}' for h, w in canvases)}"
        )
    return index


def batch_blocks(
    sizes, canvases, data: Data, batch: int, steps: int, seed: int, repeats=None, shards=None
):
    """Selects the records of each training batch, and yields them in blocks of one epoch.

    Each epoch is a new permutation of all records. Every canvas has a queue of images. A queue of
    `batch` images becomes a batch, and the rest waits for the next epoch. So every record is used
    once per epoch, but some wait in a queue for a part of the next epoch. Fewer steps give the
    start of the same plan. One epoch is in memory at a time.

    With `data.shuffle_window`, an epoch goes through the shards in a random order, and through each
    of them in its stored order. Only so many images at a time are permuted. The images of a batch
    are in the order of the shards, so that the parts of a batch that several workers have are in
    different parts of the shards, and no worker has to read everything.

    Args:
        sizes: (n, 2) integers, h, w of the stored images.
        canvases: (height, width) pairs, smallest first.
        data: the settings of resizing, and the window.
        batch: images per step, all workers together.
        steps: number of batches.
        seed: not negative.
        repeats: (n,) float, how often each image occurs in an epoch, at least 1. A fraction is the
            probability of one more time. None uses each image once.
        shards: (n,) integers, not decreasing, the shard of each image. None is one shard.
    Yields:
        first: int, the step of the first batch.
        records: (b, batch) int64, record numbers.
        canvas: (b,) int32, canvas index of each batch.
    Raises:
        DataError: no records, an image that fits on no canvas, or a batch below 1.
    """
    _check(sizes, batch)
    window, canvas = data.shuffle_window, canvases_of(sizes, canvases, data)
    shards = np.zeros(len(sizes), int) if shards is None else np.asarray(shards)
    return _blocks(canvas, len(canvases), batch, steps, seed, repeats, shards, window)


def _blocks(canvas, canvases, batch, steps, seed, repeats, shards, window):
    # Queues, because a batch has one static shape. To drop the rest would skip rare shapes.
    queues = [np.arange(0)] * canvases
    first = epoch = 0
    while first < steps:
        order = _epoch(len(canvas), seed, epoch, repeats)
        if window:
            place = _places(shards, seed, epoch)
            order = _windowed(place, order, window, seed, epoch)
        batches, full = [], []
        for k in range(canvases):
            places = np.flatnonzero(canvas[order] == k)
            waited = len(queues[k])
            queue = np.concatenate([queues[k], order[places]])
            end = len(queue) // batch * batch
            batches.append(queue[:end].reshape(-1, batch))
            full.append(places[batch - 1 - waited : end - waited : batch])
            queues[k] = queue[end:]
        # in the order in which the last image of each batch arrives
        records = np.concatenate(batches)[np.argsort(np.concatenate(full))[: steps - first]]
        if window:
            records = np.take_along_axis(records, np.argsort(place[records], axis=1), axis=1)
        if len(records):
            yield first, records.astype(np.int64), canvas[records[:, 0]]
        first, epoch = first + len(records), epoch + 1


def _epoch(count, seed, epoch, repeats):
    """The records of one epoch in their order."""
    if repeats is None:
        return _shuffled(count, seed, epoch)
    # other bits than those of the order: an epoch number has less than 62 bits
    bits = np.random.Philox(key=np.array([seed, 2**62 + epoch], np.uint64)).random_raw(count)
    more = (bits >> np.uint64(11)) / 2.0**53 < repeats % 1
    drawn = np.repeat(np.arange(count), np.floor(repeats).astype(int) + more)
    return drawn[_shuffled(len(drawn), seed, epoch)]


def _places(shards, seed, epoch):
    """(n,) int64, the place of each record when the shards are in a random order."""
    # other bits than those of `_shuffled` and of the repeats
    bits = np.random.Philox(key=np.array([seed, 2**63 + epoch], np.uint64))
    rank = np.argsort(np.argsort(bits.random_raw(int(shards.max()) + 1), kind="stable"))
    places = np.empty(len(shards), np.int64)
    places[np.argsort(rank[shards], kind="stable")] = np.arange(len(shards))
    return places


def _windowed(places, drawn, window, seed, epoch):
    """The records `drawn`, ordered by `places` and then permuted within windows.

    The first window has a random part of its length, so that records which are in one window in
    one epoch are in two in another.
    """
    drawn = drawn[np.argsort(places[drawn])]
    keys = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(len(drawn) + 1)
    start = int(keys[-1] % np.uint64(window))
    return drawn[np.lexsort((keys[:-1], (np.arange(len(drawn)) + start) // window))]


def _shuffled(count, seed, epoch):
    # The raw bits of Philox never change, but NumPy may change its algorithm of `permutation`.
    keys = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(count)
    return np.argsort(keys, kind="stable")


def side_plan(data: Data, steps: int, seed: int) -> np.ndarray:
    """(steps,) int32, the side of every stretched training batch, from `data.train_sides()`.

    It is the same for all workers. Fewer steps give the start of the same plan.
    """
    sides = np.array(data.train_sides(), np.int32)
    # 2**64 - 1 is not the number of an epoch, so these bits differ from those of `_shuffled`
    bits = np.random.Philox(key=np.array([seed, 2**64 - 1], np.uint64)).random_raw(steps)
    return sides[(bits >> np.uint64(11)) % np.uint64(len(sides))]


def eval_plan(sizes, canvases, data: Data, batch: int):
    """Selects the records of each evaluation batch. Each record is used once, grouped by canvas.

    Args: see `batch_plan`.
    Returns:
        records: (steps, batch) int64. The last batch of a canvas repeats its last image.
        canvas: (steps,) int32, canvas index of each batch.
        real: (steps, batch) bool, False for repeated images.
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
        # Repeated images complete the last batch, because a smaller batch would be compiled again.
        fill = -len(mine) % batch
        records.append(np.concatenate([mine, mine[-1:].repeat(fill)]).reshape(-1, batch))
        real.append((np.arange(len(mine) + fill) < len(mine)).reshape(-1, batch))
    records, real = np.concatenate(records).astype(np.int64), np.concatenate(real)
    return records, index[records[:, 0]], real


def _check(sizes, batch):
    if not len(sizes) or batch < 1:
        raise DataError(f"expected records and a batch, got {len(sizes)} records, batch {batch}")
