"""Atomic writes of files, SHA-256 of files, locks between processes, and the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from kdet.errors import ConfigError, DownloadError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# what NumPy and zipfile raise for a damaged .npz file
NPZ_ERRORS = (
    OSError, ValueError, KeyError, EOFError, MemoryError, RuntimeError, TypeError, OverflowError,
    struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip

_BLOCK = 1 << 20


def cache_dir() -> Path:
    """The folder of files that kdet keeps for later: KDET_HOME, or ~/.cache/kdet.

    Raises:
        DownloadError: KDET_HOME is not set, and the user has no home folder.
    """
    try:
        return Path(os.environ.get("KDET_HOME") or "~/.cache/kdet").expanduser()
    except RuntimeError:
        raise DownloadError("there is no home folder for kdet's files; set KDET_HOME") from None


def sha256_of(path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def is_url(path) -> bool:
    """Whether a path is a URL such as gs://bucket/records. A Windows drive is none."""
    return bool(re.match(r"[A-Za-z][\w+.-]+://", str(path)))


def check_out(path) -> Path:
    """The folder of the results of a command (`--out`), which need not exist yet.

    Raises:
        ConfigError: it cannot be a folder, because it or a folder above it is a file, or a URL.
    """
    if is_url(path):
        raise ConfigError(f"--out {path}: expected a local folder; only data is read from a URL")
    for place in (Path(path), *Path(path).parents):
        if place.exists() and not place.is_dir():
            raise ConfigError(f"--out {place}: expected a folder, got a file")
    return Path(path)


def write_atomic(path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Replaces a file atomically. It has the old or the new content, even after a crash.

    Args:
        path: the file; its folder must exist.
        content: the bytes, or a function that writes them to a binary file.
    """
    path = Path(path)
    with temporary_path(path) as temporary:
        with open(temporary, "wb") as file:
            content(file) if callable(content) else file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the content must be on disk before the file gets its name
        os.replace(temporary, path)
    _sync_folder(path.parent)


@contextlib.contextmanager
def temporary_path(path) -> Iterator[Path]:
    """A free, hidden path in the folder of `path`. A file or folder left there is removed.

    No other process, thread or machine on the same disk uses this path.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
    finally:
        _remove(temporary)


def target_of(name: str) -> str | None:
    """The file name for which `temporary_path` gave a name, or None for any other name."""
    match = re.fullmatch(r"\.(.+)\.\d+-[0-9a-f]{8}\.tmp", name)
    return match and match[1]


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files in a folder that a killed process left and that no process uses."""
    for path in folder.iterdir():
        if target_of(path.name):
            _remove(path)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync_folder(folder):
    # The new name must also survive a power failure. Not every file system supports this.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path, value) -> Path:
    """Writes a value as JSON atomically and creates a missing folder. Returns the path.

    Raises:
        ValueError: the value contains NaN or infinity.
    """
    path = Path(path)
    content = json.dumps(value, allow_nan=False).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    return path


def read_json(path) -> dict:
    """The JSON object in a file, or an empty dict if the file is missing or damaged."""
    try:
        path = Path(path) if isinstance(path, str) else path
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def file_lock(path, message: str):
    """Holds an exclusive lock on a file while the block runs.

    The operating system releases the lock when the process ends, even if it is killed.

    Args:
        path: the file of the lock; it is created if it is missing, and never removed.
        message: printed once to stderr if another process holds the lock.
    """
    with open(path, "ab") as file:
        waited = False
        while not _try_lock(file):
            if not waited:
                print(message, file=sys.stderr, flush=True)
                waited = True
            time.sleep(0.2)
        yield


def _try_lock(file):
    if fcntl is None:
        import msvcrt

        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
