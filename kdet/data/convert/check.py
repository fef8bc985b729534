"""What the converter accepts, training reads: every record is decoded before it is written.

Pillow and TensorFlow do not accept the same files. The worker processes use Pillow, since
TensorFlow takes seconds to start, and they decode only what has to be changed. Here, in the process
that writes, each record is decoded by `kdet.data.decode`, on a few threads. A file that only Pillow
reads is encoded again.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

from kdet.data.convert.images import Prepared, dropped, prepare
from kdet.data.convert.source import Item
from kdet.data.decode import IMAGE, decode_image, parse

_AHEAD = 4  # records per thread


def readable(stream: Iterable[Prepared], items: Iterable[Item], threads: int) -> Iterator[Prepared]:
    """The records of a stream, each one decoded, mended or replaced by a problem.

    Args:
        stream: prepared records.
        items: what they were made of, in the same order.
        threads: how many are decoded at the same time; with 1 none is taken ahead of its turn.
    """
    pairs = zip(items, stream)
    if threads == 1:
        yield from (_readable(*pair) for pair in pairs)
        return
    with ThreadPoolExecutor(threads) as pool:
        ahead = collections.deque()
        for pair in pairs:
            ahead.append(pool.submit(_readable, *pair))
            if len(ahead) > _AHEAD * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _readable(item, made):
    if made.problem or _reads(made):
        return made
    again = prepare(item, encode=True)
    if again.problem or _reads(again):
        return again
    return dropped(item, "damaged image: TensorFlow cannot decode it, also not encoded again")


def _reads(made):
    try:
        return tuple(_shape(made.payload).numpy()) == (made.height, made.width, 3)
    except tf.errors.OpError:
        return False


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def _shape(payload):
    with tf.device("CPU:0"):
        return tf.shape(decode_image(parse(payload, IMAGE)["image/encoded"]))
