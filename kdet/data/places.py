"""Where a data set is: a local folder, or a URL such as gs://bucket/records on object storage.

fsspec reads URLs. It is imported only when there is one.
"""

from __future__ import annotations

import io
import posixpath
import time
from dataclasses import dataclass
from pathlib import Path

from kdet.errors import ConfigError, DataError
from kdet.files import is_url

WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds before the next attempt, after an error that may pass
_LASTING = (PermissionError, IsADirectoryError, NotADirectoryError, ImportError)


class MissingDataError(DataError):
    """A remote file is missing, or it is shorter than expected."""


def place(path) -> Path | RemotePath:
    """The file or folder at a path or a URL.

    `Path("gs://a")` would be the local path gs:/a, so everything that may be a URL comes here.
    """
    if isinstance(path, RemotePath):
        return path
    return RemotePath.of(path) if is_url(path) else Path(path)


def locate(folder: Path | RemotePath, split: str | None) -> Path | RemotePath:
    """The folder with dataset.json: the given one, or its sub-folder `split`.

    Raises:
        DataError: there is none. The message lists the sub-folders that have one.
    """
    if (folder / "dataset.json").is_file():
        return folder
    if split and (folder / split / "dataset.json").is_file():
        return folder / split
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    inside = sorted(p.parent.name for p in folder.glob("*/dataset.json"))
    holds = f"it holds {', '.join(inside)}" if inside else "was the conversion completed?"
    wanted = f"dataset.json or {split}/dataset.json" if split else "dataset.json"
    raise DataError(f"{folder}: expected {wanted}; {holds}")


@dataclass(frozen=True)
class RemotePath:
    """A file or a folder at a URL, with the methods of `pathlib.Path` that reading data needs.

    It has no `__fspath__`, so it cannot become a local path by mistake. Errors that may pass are
    tried again after `WAITS`. Every method that asks the storage raises DataError, in one line, or
    ConfigError if fsspec or its part for this kind of storage is not installed.

    Attributes:
        url: such as gs://bucket/records, without a slash at the end.
    """

    url: str

    @classmethod
    def of(cls, url) -> RemotePath:
        """The place at a URL with or without a slash at its end."""
        scheme, _, rest = str(url).partition("://")
        return cls(f"{scheme}://{rest.rstrip('/')}")

    def __str__(self):
        return self.url

    def __truediv__(self, name):
        return RemotePath(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """The folder that holds this file or folder."""
        scheme, _, rest = self.url.partition("://")
        return RemotePath(f"{scheme}://{posixpath.dirname(rest)}")

    def absolute(self) -> RemotePath:
        """This place; a URL is never relative."""
        return self

    def is_file(self) -> bool:
        """Whether there is a file. An error of the storage is an error and not a missing file."""
        return self._kind() == "file"

    def is_dir(self) -> bool:
        """Whether there is a folder, which on object storage is the start of a file's name."""
        return self._kind() == "directory"

    def glob(self, pattern: str) -> list[RemotePath]:
        """The files below this folder that match a pattern."""

        def find(system, path):
            return [system.unstrip_protocol(p) for p in system.glob(f"{path}/{pattern}")]

        return [RemotePath.of(url) for url in self._ask(find)]

    def sizes(self) -> dict[str, int]:
        """The sizes in bytes of the files in this folder, {name: bytes}, from one listing."""

        def listed(system, path):
            system.invalidate_cache(path)  # listings are kept, but a shard may have been replaced
            return system.ls(path, detail=True)

        return {posixpath.basename(f["name"]): f["size"] for f in self._ask(listed)}

    def read_text(self, encoding: str = "utf-8") -> str:
        """The content as text."""
        return self.read_bytes().decode(encoding)

    def read_bytes(self, start: int | None = None, end: int | None = None) -> bytes:
        """The bytes `start` to `end` of a file, from one request. None reads the whole file.

        Raises:
            MissingDataError: the file is missing, or it ends before `end`.
        """

        def read(system, path):
            content = system.cat_file(path, start=start, end=end)
            if end is not None and len(content) != end - start:  # perhaps the connection was cut
                raise EOFError(f"expected {end - start} bytes from {start}, got {len(content)}")
            return content

        return self._ask(read)

    def open(self) -> io.BytesIO:
        """The whole content as a file in memory, for small files."""
        return io.BytesIO(self.read_bytes())

    def _kind(self):
        def kind(system, path):
            try:
                return system.info(path)["type"]
            except FileNotFoundError:
                return None

        return self._ask(kind)

    def _ask(self, function):
        """function(file system, path in it), which is called again after an error that may pass."""
        system, path = _system(self.url)
        for wait in (*WAITS, None):
            try:
                return function(system, path)
            except FileNotFoundError:
                raise MissingDataError(f"{self}: file is missing") from None
            except EOFError as error:
                if wait is None:
                    raise MissingDataError(f"{self}: {error}") from None
            # Every kind of storage has errors of its own, which have no common base class.
            except Exception as error:
                if wait is None or isinstance(error, _LASTING):
                    tries = "" if wait is not None else f" ({len(WAITS) + 1} attempts)"
                    raise DataError(f"{self}: {_line(error)}{tries}") from None
            time.sleep(wait)


def _system(url):
    """fsspec's file system of a URL, and the path in it."""
    scheme = f"{url.partition('://')[0]}://"
    try:
        import fsspec
    except ImportError:
        raise ConfigError(
            f'{scheme} needs the package fsspec; install it with pip install "kdet[remote]"'
        ) from None
    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # no package for this scheme, or an unknown scheme
        raise ConfigError(f"{scheme} cannot be read: {' '.join(str(error).split())}") from None
    except Exception as error:  # for example, no credentials
        raise DataError(f"{url}: {_line(error)}") from None


def _line(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__} {text[:300]}".rstrip()
