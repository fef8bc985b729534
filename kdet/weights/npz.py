"""The file format of a checkpoint: arrays and a JSON text in one uncompressed `.npz` file.

    weights/<variable path>   every variable of the network
    slots/<variable path>     the optimizer's buffers
    meta                      JSON text, see `kdet.train.checkpoint`

Pickled entries are refused, so reading a file cannot run code.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdet.errors import CheckpointError
from kdet.files import NPZ_ERRORS, write_atomic

META = "meta"
NUMERIC = "biuf"  # kinds of dtype


def write_npz(path, arrays: dict, meta: dict) -> None:
    """Writes a checkpoint. After a crash, `path` is either the old file or the complete new one.

    Args:
        path: the file to write or replace. Its folder must exist.
        arrays: name -> array of any shape and a plain numeric dtype, or Keras variable. One
            variable at a time is copied.
        meta: a dict for JSON.
    Raises:
        CheckpointError: an array has the name `meta` or no plain numeric dtype.
    """
    path = Path(path)
    for name, array in arrays.items():
        if name == META or np.asarray(array).dtype.kind not in NUMERIC:
            raise CheckpointError(
                f"{path}: cannot store {name!r} of type {np.asarray(array).dtype}"
            )

    def save(file):
        np.savez(file, **{META: np.array(json.dumps(meta))}, **arrays)

    write_atomic(path, save)


def read_npz(path) -> tuple[dict, dict]:
    """Reads a file that `write_npz` wrote.

    Returns:
        (arrays, meta): name -> NumPy array, and the JSON dict.
    Raises:
        CheckpointError: one line with the file and the problem.
    """
    entries, meta = describe_npz(path)
    return dict(read_entries(path, entries)), meta


@dataclass(frozen=True)
class Entry:
    """The shape and the NumPy dtype of an array whose values are not read."""

    shape: tuple[int, ...]
    dtype: np.dtype


def describe_npz(path) -> tuple[dict[str, Entry], dict]:
    """Like `read_npz`, but without the values, which `read_entries` reads one by one."""
    path = Path(path)
    with _one_line_errors(path), _opened(path) as stored:
        meta = json.loads(str(stored[META][()]))
        entries = {}
        for name in stored.files:
            if name == META:
                continue
            try:
                entry = _described(stored.zip, name)
            except KeyError:
                entry = None
            if entry is None or entry.dtype.kind not in NUMERIC:
                raise CheckpointError(f"{path}: {one_line(name)}: expected an array of numbers")
            entries[name] = entry
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path}: {META!r} must be a JSON object, got {type(meta).__name__}")
    return entries, meta


def read_entries(path, names) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (name, array) of the entries `names` in this order. One array at a time is in memory.

    Raises:
        CheckpointError: one line with the file and the problem.
    """
    path = Path(path)
    with _one_line_errors(path), _opened(path) as stored:
        for name in names:
            yield name, stored[name]


def read_weights(path, names) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (variable path, array) of the weights with these names, see `read_entries`."""
    for name, value in read_entries(path, [f"weights/{name}" for name in names]):
        yield name.removeprefix("weights/"), value


@contextlib.contextmanager
def _opened(path):
    stored = np.load(path, allow_pickle=False)
    if not isinstance(stored, np.lib.npyio.NpzFile) or META not in stored.files:
        raise CheckpointError(f"{path}: not a kdet checkpoint (it has no {META!r} entry)")
    with stored:
        _check_sizes(path, stored.zip.infolist())
        yield stored


@contextlib.contextmanager
def _one_line_errors(path):
    try:
        yield
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except CheckpointError:
        raise
    except NPZ_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{path}: damaged or not a kdet checkpoint: {reason}") from None


def _described(packed, name):
    with packed.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        known = {(1, 0): np.lib.format.read_array_header_1_0}
        shape, _, dtype = known.get(version, np.lib.format.read_array_header_2_0)(stream)
    return Entry(shape, dtype)


def _check_sizes(path, entries):
    """Refuses entries that are compressed, or that are together longer than the file."""
    # before any memory is taken: a compressed entry of 1 MB may become 1 GB
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError(f"{path}: not a kdet checkpoint (its entries are compressed)")
    total, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if total > size:
        raise CheckpointError(f"{path}: damaged: its entries need {total} bytes, but it has {size}")


def group(arrays: dict, prefix: str) -> dict:
    """The entries below `prefix/`: {"weights/a/kernel": x} becomes {"a/kernel": x}."""
    return {k[len(prefix) + 1 :]: v for k, v in arrays.items() if k.startswith(f"{prefix}/")}


def check_complete(path, stored: dict, wanted: dict) -> None:
    """Checks that a file and a network have the same names and shapes.

    Args:
        path: the file, for the message.
        stored: name -> array of the file.
        wanted: name -> shape (tuple) of the network.
    Raises:
        CheckpointError: one line that lists missing, unused and misshapen entries.
    """
    missing = [name for name in wanted if name not in stored]
    unused = [name for name in stored if name not in wanted]
    shapes = [
        f"{name} {tuple(stored[name].shape)} instead of {tuple(shape)}"
        for name, shape in wanted.items()
        if name in stored and tuple(stored[name].shape) != tuple(shape)
    ]
    problems = {"missing": missing, "left over": unused, "wrong shape": shapes}
    lists = "; ".join(f"{what}: {some(names)}" for what, names in problems.items() if names)
    if lists:
        raise CheckpointError(f"{path}: does not fit the network; {lists}")


def some(names, limit=5) -> str:
    """The first `limit` names of a list as text, for a message of one line."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(one_line, names[:limit])) + more


def one_line(text, limit=200) -> str:
    """Text from a file as one line for a message, without the control characters of a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:limit]
