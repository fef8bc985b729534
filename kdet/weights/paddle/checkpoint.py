"""Checkpoints of Paddle 1.x: a folder or tar archive with one file per variable, one file of all
variables, or a pickled dict.

Reading has two steps. `find` checks and describes all tensors, and `arrays` reads the values of
some of them. Only pickled values are in memory after the first step. Archives are never unpacked to
disk. All files are treated as untrusted.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdet.errors import CheckpointError
from kdet.files import temporary_path
from kdet.weights.npz import one_line
from kdet.weights.paddle.pickle import read_pickle
from kdet.weights.paddle.tar import MOST_FILES, members, open_packed
from kdet.weights.paddle.tensor import Header, read_header, read_values, write_tensor

MOST_LETTERS = 255  # of a variable's name, because it is used as a file name
BROKEN = (OSError, EOFError, ValueError, RecursionError, tarfile.TarError, zlib.error)


@dataclass(frozen=True)
class Part:
    """The place of one tensor.

    Attributes:
        name: name of the variable.
        path: the file that has the tensor, and maybe others.
        offset: offset of the values in that file in bytes. It counts unpacked bytes if the file is
            compressed.
        header: dtype and shape.
        values: the values of a pickled tensor as bytes, or as text that encodes them in Latin-1.
    """

    name: str
    path: Path
    offset: int
    header: Header
    values: bytes | str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor in the reference's layout."""
        return self.header.shape


def find(path, names: Iterable[Iterable[str]] = ()) -> dict[str, Part]:
    """Describes the tensors of a checkpoint. Values are read only from `.pdparams` files.

    Args:
        path: a folder with one file per variable (or a folder that contains only such a folder), a
            plain or gzip-compressed tar archive of such a folder, a file of all variables, or a
            `.pdparams` file.
        names: lists of variable names for a file of all variables, which stores no names. The list
            that is as long as the number of tensors is used.
    Returns:
        variable name -> Part, in stored order.
    Raises:
        CheckpointError: one line with the file, the tensor and the problem.
    """
    path = Path(path)
    try:
        parts = _found(path, names)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file or folder") from None
    except CheckpointError:
        raise
    except BROKEN as error:
        raise CheckpointError(
            f"{path}: damaged or not a Paddle checkpoint: {_line(error)}"
        ) from None
    if not parts:
        raise CheckpointError(f"{path}: expected one tensor per variable; it has none")
    for name in parts:  # names are used in messages and as names of files
        if not name.isprintable() or len(name) > MOST_LETTERS:
            raise CheckpointError(f"{path}: {one_line(name)}: not the name of a variable")
    return parts


def _found(path, names):
    """The parts of a checkpoint. The first bytes tell which kind of file it is."""
    if path.is_dir():
        return _in_folder(path)
    if path.exists() and not path.is_file():  # reading a pipe or a device may never end
        raise CheckpointError(f"{path}: expected a file or a folder")
    with open(path, "rb") as file:
        start = file.read(12)
    if start[:1] == b"\x80":
        found = read_pickle(path).items()
        return {name: Part(name, path, 0, header, values) for name, (header, values) in found}
    if start == bytes(12):
        return _in_one_file(path, [sorted(choice) for choice in names])
    return _in_tar(path)


def arrays(parts: Iterable[Part]) -> Iterator[tuple[str, np.ndarray]]:
    """Reads tensors one at a time, in their order on disk, because gzip cannot seek back fast.

    Yields:
        (name, array).
    Raises:
        CheckpointError: the file changed or is damaged.
    """
    stream, opened = None, None
    try:
        for part in sorted(parts, key=lambda part: (part.path, part.offset)):
            where = f"{part.path}: {one_line(part.name)}"
            try:
                if part.values is not None:
                    array = _unpickled(part)
                else:
                    if opened != part.path:
                        if stream:
                            stream.close()
                        stream, opened = open_packed(part.path), part.path
                    stream.seek(part.offset)
                    array = read_values(stream, part.header, where)
            except CheckpointError:
                raise
            except BROKEN as error:
                raise CheckpointError(f"{where}: {_line(error)}") from None
            yield part.name, array
    finally:
        if stream:
            stream.close()


def read(path, names: Iterable[Iterable[str]] = ()) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint in memory: name -> array. See `find`."""
    return dict(arrays(find(path, names).values()))


def write(folder, tensors: Iterable[tuple[str, np.ndarray]]) -> None:
    """Writes a folder with one file per variable for the reference. An error writes nothing.

    Args:
        folder: a new or empty folder.
        tensors: (variable name, array in the reference's layout).
    Raises:
        CheckpointError: the folder is not empty.
    """
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder}: exists; expected a new or empty folder")
    with temporary_path(folder) as temporary:
        temporary.mkdir(parents=True)
        for name, array in tensors:
            with open(temporary / name, "wb") as stream:
                write_tensor(stream, array)
        os.replace(temporary, folder)


def is_paddle(path) -> bool:
    """Whether an existing path is for `find`, and is not a kdet checkpoint or a run folder."""
    path = Path(path)
    if path.is_dir():
        return not any((path / name).is_file() for name in ("best.npz", "last.npz"))
    if not path.is_file():
        return True  # `find` raises an error that explains the problem
    with open(path, "rb") as file:
        return file.read(2) != b"PK"


def _in_folder(folder, outer=True):
    files = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    if outer and len(files) == 1 and files[0].is_dir() and not files[0].is_symlink():
        return _in_folder(files[0], outer=False)
    if len(files) > MOST_FILES:
        raise CheckpointError(
            f"{folder}: {len(files)} files; a checkpoint has at most {MOST_FILES}"
        )
    parts = {}
    for path in files:
        about, where = path.lstat(), f"{folder}: {one_line(path.name)}"
        if not stat.S_ISREG(about.st_mode):
            raise CheckpointError(f"{where}: expected a plain file, one per variable")
        with open(path, "rb") as stream:
            header = _whole(stream, about.st_size, where)
        parts[path.name] = Part(path.name, path, header.length, header)
    return parts


def _in_tar(path):
    parts = {}
    with open_packed(path) as stream:
        for name, offset, size in members(path):
            stream.seek(offset)
            header = _whole(stream, size, f"{path}: {one_line(name)}")
            parts[name] = Part(name, path, offset + header.length, header)
    return parts


def _in_one_file(path, choices):
    headers, size = [], path.stat().st_size
    with open(path, "rb") as stream:
        while stream.tell() < size and len(headers) < MOST_FILES:
            where = f"{path}: tensor {len(headers)}"
            header = read_header(stream, size - stream.tell(), where)
            headers.append((stream.tell(), header))
            stream.seek(header.nbytes, os.SEEK_CUR)
    names = next((names for names in choices if len(names) == len(headers)), None)
    if names is None:
        wanted = " or ".join(str(len(names)) for names in choices) or "a list of names"
        raise CheckpointError(f"{path}: {len(headers)} tensors without names; expected {wanted}")
    return {name: Part(name, path, *header) for name, header in zip(names, headers)}


def _whole(stream, size, where):
    """The header of a tensor that must fill its file completely."""
    header = read_header(stream, size, where)
    extra = size - header.length - header.nbytes
    if extra:
        raise CheckpointError(f"{where}: {extra} bytes too many for its shape {header.shape}")
    return header


def _unpickled(part):
    values = part.values
    values = values.encode("latin1") if isinstance(values, str) else values
    return np.frombuffer(values, part.header.dtype).reshape(part.header.shape)


def _line(error):
    return " ".join(str(error).split())[:200] or type(error).__name__
