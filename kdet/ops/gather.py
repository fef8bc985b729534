"""Picking entries per image: the best ones, given ones, sampled ones."""

import zlib

from keras import ops


def top_k(values, count):
    """The `count` largest entries of each row, fewer where a static row is shorter.

    Args:
        values: (B, N) float; -inf marks entries that must not be chosen.
        count: n.
    Returns:
        (B, n) float values by falling size, and (B, n) int32 indices; the index of a -inf is 0.
    """
    if values.shape[1] is None:
        # the length is unknown: entries at -inf make sure that there are enough
        values = ops.pad(values, [(0, 0), (0, count)], constant_values=float("-inf"))
    elif values.shape[1] < count:
        count = values.shape[1]
    best, index = ops.top_k(values, count)
    return best, ops.cast(ops.where(best > float("-inf"), index, 0), "int32")


def batch_gather(values, index):
    """Rows `index` (B, n) of values (B, N, ...): (B, n, ...)."""
    shape = ops.shape(values)
    # one flat gather; take_along_axis would repeat every index over the last axis
    first = ops.arange(shape[0], dtype="int32")[:, None] * shape[1]
    flat = ops.reshape(values, (-1, *values.shape[2:]))
    return ops.take(flat, ops.cast(index, "int32") + first, axis=0)


def subsample(candidates, count, key=None, limit=None):
    """Chooses up to `count` candidates per row.

    Args:
        candidates: (B, N) bool.
        count: n, an int.
        key: (B, N) float32 in [0, 1): those with the largest are chosen. None: the first ones.
        limit: (B,) int32, a smaller count for each row.
    Returns:
        index: (B, n) int32, rising; 0 in unused places. n is at most N.
        used: (B, n) bool; used places come first.
    """
    total = candidates.shape[1]
    count = min(count, total)
    if key is None:
        key = ops.arange(total, 0, -1, dtype="float32")[None]
    _, index = ops.top_k(ops.where(candidates, key, -1.0), count)
    index = ops.cast(index, "int32")
    used = ops.take_along_axis(candidates, index, axis=1)
    if limit is not None:
        used = ops.logical_and(used, ops.arange(count, dtype="int32")[None] < limit[:, None])
    index = ops.sort(ops.where(used, index, total), axis=1)
    return ops.where(index < total, index, 0), index < total


def stateless_uniform(seeds, count, salt):
    """Uniform numbers that depend on their arguments alone: no state, the same on every backend.

    Args:
        seeds: (B,) int; one per image, e.g. a hash of run, step and image.
        count: N.
        salt: name of the draw; tells apart several for one image.
    Returns:
        (B, N) float32 in [0, 1), 24 bits each.
    """
    x = _scramble(ops.cast(seeds, "uint32")[:, None] + _word(zlib.crc32(salt.encode())))
    x = _scramble(x + ops.cast(ops.arange(count, dtype="int32"), "uint32")[None])
    return ops.cast(ops.right_shift(x, _word(8)), "float32") * 2.0**-24


def _scramble(x):
    """A bijection of 32-bit integers whose output bits all depend on all input bits."""
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97), (15, None)):
        x = ops.bitwise_xor(x, ops.right_shift(x, _word(shift)))
        x = x if factor is None else x * _word(factor)
    return x


def _word(value):
    """A constant for arithmetic on uint32: Keras 3.8 makes int64 of uint32 and a plain int."""
    return ops.convert_to_tensor(value, dtype="uint32")
