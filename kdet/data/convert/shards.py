"""One shard of a data set, and the processes that check its images."""

from __future__ import annotations

import collections
import collections.abc
import concurrent.futures as futures
import contextlib
import json
import multiprocessing
import os
import sys
import threading
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from kdet.data.convert.images import Prepared, prepare, prepare_all
from kdet.errors import DataError
from kdet.files import sha256_of, write_atomic

_CHUNK = 8  # images per task of a worker
_HEADER, _FOOTER = 12, 4  # TFRecord framing around each payload, in bytes
COLUMNS = {
    "offset": np.int64,  # of the payload in the shard file, in bytes
    "length": np.int64,  # bytes of the payload
    "fingerprint": np.int64,  # tf.strings.to_hash_bucket_fast(payload, 2**62)
    "height": np.int32,
    "width": np.int32,
    "image_id": np.int64,
    "objects": np.int32,  # without crowds
}


def prepared(items, workers: int) -> collections.abc.Iterator[Prepared]:
    """`prepare` over all items, in order, a bounded number of images ahead.

    Raises:
        DataError: a worker process was killed.
    """
    if workers == 1:
        yield from map(prepare, items)
        return
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork
    pool = futures.ProcessPoolExecutor(workers, context, initializer=_end_with_parent)
    ahead = collections.deque()
    try:
        for start in range(0, len(items), _CHUNK):
            with _without_main():
                ahead.append(pool.submit(prepare_all, items[start : start + _CHUNK]))
            if len(ahead) > 4 * workers:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    except BrokenProcessPool:
        raise DataError(
            "a worker process ended (out of memory?); run again to go on, perhaps with workers=1"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _without_main():
    """Hides the user's script from processes that start: they would run it, and need none of it."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    main.__spec__ = main.__file__ = None
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is None:
            del main.__file__
        else:
            main.__file__ = file


def _end_with_parent():
    """A killed parent cannot stop its workers: each one watches for its end."""

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def write_shard(out: Path, name: str, count: int, stream, inputs: str, bar):
    """Writes one shard and the json file that records its checksum.

    Args:
        out: folder.
        name: of the shard, without ending.
        count: how many items of `stream` belong to it.
        stream: iterator of `Prepared`, each one decoded once (`kdet.data.convert.check`).
        inputs: fingerprint of all inputs.
        bar: progress bar, moved by one per item.
    Raises:
        DataError: the disk is full.
    """
    import tensorflow as tf  # here, since the workers import this module too

    path, temporary = out / f"{name}.tfrecord", out / f"{name}.tfrecord.tmp"
    rows = {column: [] for column in COLUMNS}
    labels, notes, problems = collections.Counter(), collections.Counter(), []
    crowd = difficult = offset = 0
    try:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for _, item in zip(range(count), stream):
                bar.update()
                notes.update(item.notes)
                if item.problem:
                    problems.append(item.problem._asdict())
                    continue
                writer.write(item.payload)
                fingerprint = int(tf.strings.to_hash_bucket_fast(item.payload, 2**62))
                for column, value in zip(rows, _row(item, offset + _HEADER, fingerprint)):
                    rows[column].append(value)
                offset += _HEADER + len(item.payload) + _FOOTER
                labels.update(item.labels)
                crowd, difficult = crowd + item.crowd, difficult + item.difficult
    except tf.errors.OpError as error:
        raise DataError(f"{temporary}: {error.message}") from None
    counts = {"crowd": crowd, "difficult": difficult, "labels": sorted(labels.items())}
    about = {"rows": rows, "counts": counts, "notes": notes, "problems": problems}
    _finish_shard(path, temporary, offset, {"inputs": inputs, **about})


def _finish_shard(path, temporary, size, about):
    """Checks the written size, renames the shard and writes its json file."""
    if temporary.stat().st_size != size:
        raise DataError(f"{temporary}: expected {size} bytes, got {temporary.stat().st_size}")
    os.replace(temporary, path)
    about = {**about, "sha256": sha256_of(path), "bytes": size}
    write_atomic(path.with_suffix(".json"), json.dumps(about).encode())


def _row(item, start, fingerprint):
    """A record's values in the index, in the order of `COLUMNS`."""
    size = item.height, item.width
    return start, len(item.payload), fingerprint, *size, item.id, len(item.labels)
