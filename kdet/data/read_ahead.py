"""Reads records of remote shards before they are needed, in few large requests.

The order of the records is known in advance. So they are read in groups of bounded size. While one
group is used, the next one is read by threads. Records of a group that are near to each other in
their shard come with one request, also if records lie between them that only the group after it
needs; these are kept. So the number of requests depends on how far the order is from that of the
shards, and the result does not.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kdet.errors import ConfigError

MEMORY_MB = 256  # default of KDET_READ_MB
THREADS = 8
GAP = 128 << 10  # bytes; reading so many in vain costs less time than another request
CHUNK = 16  # records that are given to tf.data at a time


def memory() -> int:
    """Bytes that the records which are read ahead may take, from KDET_READ_MB.

    Raises:
        ConfigError: KDET_READ_MB is not a whole number above 0.
    """
    text = os.environ.get("KDET_READ_MB") or str(MEMORY_MB)
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"KDET_READ_MB must be a whole number above 0, got {text!r}")
    return int(text) << 20


class ReadAhead:
    """Reads records in a given order.

    One quarter of the memory is for each of these: the group that is used, the next group, what was
    read for the group after it, and requests under way. A record that is larger than its part is
    read nevertheless.

    Args:
        fetch: function (shard, start, end) that returns these bytes of a shard; called by threads.
        shards: (n,) shard of each record; records are numbered in the order of their shards.
        starts, ends: (n,) bytes of each record in its shard.
        limit: bytes of memory.
    """

    def __init__(self, fetch: Callable, shards, starts, ends, limit: int):
        self._fetch, self._group, self._request = fetch, limit // 4, limit // (4 * THREADS)
        self._shards, self._starts, self._ends = shards, starts, ends

    def rows(self, blocks: Iterable[tuple], column: int) -> Iterator[tuple]:
        """Yields the rows of `blocks` in their order, some at a time, with the bytes of records.

        Args:
            blocks: tuples of equally long arrays.
            column: the array of a tuple that has record numbers.
        Yields:
            Tuples of arrays of at most `CHUNK` rows, with one more array (rows,) of bytes objects.
        Raises:
            Whatever `fetch` raises.
        """
        pool, held = ThreadPoolExecutor(THREADS, "kdet-read"), {}
        try:
            for group, wanted, later in self._schedule(pool, held, blocks, column):
                for start in range(0, len(wanted), CHUNK):
                    payloads = np.empty(len(wanted[start : start + CHUNK]), object)
                    for k, number in enumerate(wanted[start : start + CHUNK]):
                        payloads[k] = held[number].result()[number]
                    yield (*(array[start : start + CHUNK] for array in group), payloads)
                for number in set(wanted) - later:
                    del held.pop(number).result()[number]
        finally:  # also when tf.data drops the iterator
            pool.shutdown(wait=False, cancel_futures=True)

    def _schedule(self, pool, held, blocks, column):
        """Yields (arrays, numbers, set of the numbers of the next group), and starts requests."""
        none = ((), [])
        groups = ((group, group[column].tolist()) for group in self._groups(blocks, column))
        current, following = next(groups, none), next(groups, none)
        self._start(pool, held, current[1], following[1])
        while current[1]:
            after = next(groups, none)
            self._start(pool, held, following[1], after[1])
            yield *current, set(following[1])
            current, following = following, after

    def _groups(self, blocks, column):
        """Divides the rows of blocks into groups whose records fit into a part of the memory."""
        for block in blocks:
            first = size = 0
            for k, number in enumerate(block[column].tolist()):
                length = self._ends[number] - self._starts[number]
                if k > first and size + length > self._group:
                    yield tuple(array[first:k] for array in block)
                    first, size = k, 0
                size += length
            if first < len(block[column]):
                yield tuple(array[first:] for array in block)

    def _start(self, pool, held, group, following):
        """Starts the requests for a group; `held` gets a future {number: bytes} for each record."""
        needed = set(group) - held.keys()
        extra = set(following) - held.keys() - needed
        for numbers in self._pieces(needed, extra):
            future = pool.submit(self._read, numbers)
            held.update(dict.fromkeys(numbers, future))

    def _pieces(self, needed, extra):
        """Yields lists of neighbouring records for one request each. Both ends are needed."""
        run = []
        for number in itertools.chain(sorted(needed | extra), [None]):
            if run and (number is None or not self._joins(run, number)):
                own = [k for k, n in enumerate(run) if n in needed]
                if own:
                    yield run[own[0] : own[-1] + 1]
                run = []
            run.append(number)

    def _joins(self, run, number):
        first, last = run[0], run[-1]
        return (
            self._shards[number] == self._shards[first]
            and self._starts[number] - self._ends[last] <= GAP
            and self._ends[number] - self._starts[first] <= self._request
        )

    def _read(self, numbers):
        start, end = int(self._starts[numbers[0]]), int(self._ends[numbers[-1]])
        content = memoryview(self._fetch(int(self._shards[numbers[0]]), start, end))
        return {n: bytes(content[self._starts[n] - start : self._ends[n] - start]) for n in numbers}
