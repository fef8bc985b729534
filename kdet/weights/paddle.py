"""Checkpoints of Paddle 1.x: a folder or a tar archive with one file per variable.

Reading is in two steps: `find` describes all tensors, `arrays` takes memory for those wanted.
Archives are never unpacked to disk.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from kdet.weights.archive import ArchiveError
from kdet.weights.tensors import Header, read_header, read_values

MOST_FILES = 20_000
MOST_TAR_HEADER = 1 << 18  # bytes of one member's headers; a checkpoint's have 512 or 1024
BROKEN = (OSError, EOFError, ValueError, RecursionError, tarfile.TarError, zlib.error)


@dataclass(frozen=True)
class Part:
    """Where one tensor lies.

    Attributes:
        name: of the variable.
        path: the file that holds it, maybe among others.
        offset: of its values in that file (unpacked, where it is compressed).
        header: type and shape.
    """

    name: str
    path: Path
    offset: int
    header: Header

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides of the tensor, in the reference's layout."""
        return self.header.shape


def find(path) -> dict[str, Part]:
    """Describes the tensors of a checkpoint without reading their values.

    Args:
        path: a folder with one file per variable (or with one such folder and nothing else), or a
            plain or gzip-compressed tar archive of such a folder.
    Returns:
        variable name -> Part, in stored order.
    Raises:
        ArchiveError: one line with file, tensor and what is wrong.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _in_folder(path)
        return _in_tar(path)
    except FileNotFoundError:
        raise ArchiveError(f"{path}: no such file or folder") from None
    except ArchiveError:
        raise
    except BROKEN as error:
        raise ArchiveError(f"{path}: damaged or not a Paddle checkpoint: {_line(error)}") from None


def arrays(parts: Iterable[Part]) -> Iterator[tuple[str, np.ndarray]]:
    """Reads tensors, one at a time, in the order in which they lie on disk.

    Yields:
        (name, array).
    Raises:
        ArchiveError: the file changed or is damaged.
    """
    stream, opened = None, None
    try:
        for part in sorted(parts, key=lambda part: (part.path, part.offset)):
            where = f"{part.path}: {part.name}"
            try:
                if opened != part.path:
                    if stream:
                        stream.close()
                    stream, opened = _open(part.path), part.path
                stream.seek(part.offset)
                yield part.name, read_values(stream, part.header, where)
            except BROKEN as error:
                if isinstance(error, ArchiveError):
                    raise
                raise ArchiveError(f"{where}: {_line(error)}") from None
    finally:
        if stream:
            stream.close()


def read(path) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint at once: name -> array. See `find`."""
    return dict(arrays(find(path).values()))


def is_paddle(path) -> bool:
    """Whether an existing path is one for `find`, not a kdet checkpoint or a run folder."""
    path = Path(path)
    if path.is_dir():
        return not any((path / name).is_file() for name in ("best.npz", "last.npz"))
    with open(path, "rb") as file:
        return file.read(2) != b"PK"


def _in_folder(folder):
    files = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    if len(files) == 1 and files[0].is_dir() and not files[0].is_symlink():
        return _in_folder(files[0])
    if len(files) > MOST_FILES:
        raise ArchiveError(f"{folder}: {len(files)} files; a checkpoint has at most {MOST_FILES}")
    parts = {}
    for path in files:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise ArchiveError(f"{folder}: {path.name}: expected a plain file, one per variable")
        with open(path, "rb") as stream:
            header = _whole(stream, about.st_size, f"{folder}: {path.name}")
        parts[path.name] = Part(path.name, path, header.length, header)
    if not parts:
        raise ArchiveError(f"{folder}: expected files, one per variable; it is empty")
    return parts


def _in_tar(path):
    parts, folders = {}, set()
    with _open(path) as stream, _open(path) as walked:
        end = None if isinstance(stream, gzip.GzipFile) else path.stat().st_size
        careful = _Careful(walked)
        tar = tarfile.open(fileobj=careful, mode="r:")
        while member := careful.next(tar):
            name = PurePosixPath(member.name)
            where = f"{path}: {_line(member.name)}"
            if member.isdir():
                continue
            if name.is_absolute() or ".." in name.parts:
                raise ArchiveError(f"{where}: names a place outside of its folder")
            if not member.isreg() or member.issparse():
                raise ArchiveError(f"{where}: expected a plain file, one per variable")
            if name.name.startswith("."):
                continue
            folders.add(name.parent)
            if name.name in parts or len(folders) > 1 or len(parts) >= MOST_FILES:
                raise ArchiveError(f"{where}: expected one folder with one file per variable")
            if member.size < 0 or (end is not None and member.offset_data + member.size > end):
                raise ArchiveError(f"{where}: the archive ends within it")
            stream.seek(member.offset_data)
            header = _whole(stream, member.size, where)
            offset = member.offset_data + header.length
            parts[name.name] = Part(name.name, path, offset, header)
    if not parts:
        raise ArchiveError(f"{path}: expected files, one per variable; it is empty")
    return parts


def _whole(stream, size, where):
    """The header of a tensor that is all of its file."""
    header = read_header(stream, size, where)
    if header.length + header.nbytes != size:
        extra = size - header.length - header.nbytes
        raise ArchiveError(f"{where}: {extra} bytes too many for its shape {header.shape}")
    return header


def _open(path):
    file = open(path, "rb")
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not packed:
        return file
    file.close()
    return gzip.open(path, "rb")


class _Careful:
    """A file for `tarfile` that refuses to read headers without end: they may be made of air."""

    def __init__(self, file):
        self.file, self.left, self.seen = file, MOST_TAR_HEADER, 0

    def next(self, tar):
        """The next member; its headers may take so many bytes and no more."""
        self.left, self.seen = MOST_TAR_HEADER, self.seen + 1
        if self.seen > 2 * MOST_FILES:
            raise tarfile.ReadError("too many members")
        tar.members = []  # they would pile up there
        return tar.next()

    def read(self, size=-1):
        if not 0 <= size <= self.left:
            raise tarfile.ReadError("a member's headers are too long")
        self.left -= size
        return self.file.read(size)

    def seek(self, offset, whence=0):
        return self.file.seek(offset, whence)

    def tell(self):
        return self.file.tell()


def _line(text):
    return " ".join(str(text).split())[:200] or type(text).__name__
