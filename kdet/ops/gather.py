"""Selects entries of each image: the largest ones, those at given indices, or a sample."""

import zlib

from keras import ops


def top_k(values, count):
    """The `count` largest entries of each row, or all of them if N is static and smaller.

    Args:
        values: (B, N) float; -inf marks entries that must not be chosen.
        count: n.
    Returns:
        (B, n) float values in descending order, and their (B, n) int32 indices. The index of -inf
        is 0.
    """
    if values.shape[1] is None:
        # the unknown length may be below `count`, so -inf fills the rest
        values = ops.pad(values, [(0, 0), (0, count)], constant_values=float("-inf"))
    elif values.shape[1] < count:
        count = values.shape[1]
    best, index = ops.top_k(values, count)
    return best, ops.cast(ops.where(best > float("-inf"), index, 0), "int32")


def batch_gather(values, index):
    """Entries `index` (B, n) of each row of `values` (B, N, ...), as (B, n, ...)."""
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
        key: (B, N) float32 in [0, 1). The candidates with the largest keys are chosen; None chooses
            the first candidates.
        limit: (B,) int32, a smaller count for each row.
    Returns:
        index: (B, n) int32, ascending; 0 in unused entries. n is at most N.
        used: (B, n) bool; used entries come first.
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
    # the index `total` sorts unused entries to the end
    index = ops.sort(ops.where(used, index, total), axis=1)
    return ops.where(index < total, index, 0), index < total


def stateless_uniform(seeds, count, salt):
    """Uniform random numbers that depend only on the arguments, with no state and on any backend.

    Args:
        seeds: (B,) int; one per image, e.g. a hash of run, step and image.
        count: N.
        salt: a name that makes several draws of one image differ.
    Returns:
        (B, N) float32 in [0, 1), 24 random bits each.
    """
    x = _scramble(ops.cast(seeds, "uint32")[:, None] + _word(zlib.crc32(salt.encode())))
    x = _scramble(x + ops.cast(ops.arange(count, dtype="int32"), "uint32")[None])
    # float32 represents integers of 24 bits exactly, so the result is below 1
    return ops.cast(ops.right_shift(x, _word(8)), "float32") * 2.0**-24


def _scramble(x):
    """A bijection of 32-bit integers in which every output bit depends on all input bits."""
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97), (15, None)):
        x = ops.bitwise_xor(x, ops.right_shift(x, _word(shift)))
        x = x if factor is None else x * _word(factor)
    return x


def _word(value):
    """A constant for arithmetic on uint32: Keras 3.8 makes int64 of uint32 and a plain int."""
    return ops.convert_to_tensor(value, dtype="uint32")
