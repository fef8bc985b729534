"""Lists the members of an untrusted tar archive, without unpacking it."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path, PurePosixPath

from kdet.errors import CheckpointError
from kdet.weights.npz import one_line

MOST_FILES = 20_000
MOST_HEADER = 1 << 18  # bytes of one member's headers; in a checkpoint they have 512 or 1024


def members(path):
    """Lists the files of an archive, which must be plain, distinct and in one folder.

    Args:
        path: a plain or gzip-compressed tar archive.
    Yields:
        (name without folder, offset of its first byte in the unpacked archive, size in bytes).
    Raises:
        CheckpointError: a member is a link, a device, sparse, outside of the folder, or repeated.
        OSError, EOFError, ValueError, RecursionError, zlib.error, tarfile.TarError: the archive is
            damaged.
    """
    names, folders, path = set(), set(), Path(path)
    with open_packed(path) as file:
        end = None if isinstance(file, gzip.GzipFile) else path.stat().st_size
        careful = _Careful(file)
        tar = tarfile.open(fileobj=careful, mode="r:")
        while member := careful.next(tar):
            name = PurePosixPath(member.name)
            where = f"{path}: {one_line(member.name)}"
            if member.size < 0 or (end is not None and member.offset_data + member.size > end):
                raise CheckpointError(f"{where}: the archive ends within it")
            if name.is_absolute() or ".." in name.parts:
                raise CheckpointError(f"{where}: its path leads out of the archive's folder")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise CheckpointError(f"{where}: expected a plain file, one per variable")
            if name.name.startswith("."):
                continue
            folders.add(name.parent)
            if name.name in names or len(folders) > 1 or len(names) >= MOST_FILES:
                raise CheckpointError(f"{where}: expected one folder with one file per variable")
            names.add(name.name)
            yield name.name, member.offset_data, member.size
        # `tarfile` takes any invalid header for the end of the archive; the real end is zeros.
        file.seek(tar.offset)
        if file.read(512) != bytes(512):
            raise CheckpointError(f"{path}: the archive is cut or damaged at byte {tar.offset}")


def open_packed(path):
    """Opens a file for reading, through gzip if it is compressed."""
    file = open(path, "rb")
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not packed:
        return file
    file.close()
    return gzip.open(path, "rb")


class _Careful:
    """A file for `tarfile` that limits header size; sparse files can fake it."""

    def __init__(self, file):
        self.file, self.left, self.seen = file, MOST_HEADER, 0

    def next(self, tar):
        """The next member, or None. Its headers may have up to `MOST_HEADER` bytes."""
        self.left, self.seen = MOST_HEADER, self.seen + 1
        if self.seen > 2 * MOST_FILES:
            raise tarfile.ReadError("too many members")
        tar.members = []  # `tarfile` keeps every member, which takes memory
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
