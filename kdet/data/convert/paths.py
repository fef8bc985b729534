"""Names in annotation files -> files inside a folder."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PureWindowsPath

from kdet.data.convert.fields import FieldError


def inside(folder: Path, name: str, what: str, field: str = "") -> Path:
    """The file of a folder that a relative path names.

    Back-slashes separate folders as "/" does, unless a file is really called so. Letters with
    accents may be written as one character or as two.

    Args:
        folder: the folder.
        name: the path as written.
        what: what the folder is, and `field`: which field holds the path; both for the error.
    Returns:
        The path; the file may be missing.
    Raises:
        FieldError: an absolute path, one with "..", or one that holds a zero byte.
    """
    plain = name.replace("\\", "/")
    windows = PureWindowsPath(name)
    leaves = plain.startswith("/") or windows.drive or ".." in plain.split("/")
    if leaves or "\0" in name:
        raise FieldError(field, f"expected a path inside {what}, got {name[:80]!r}")
    if plain == name and name.isascii():
        return folder / name
    forms = dict.fromkeys([plain, *(unicodedata.normalize(f, plain) for f in ("NFC", "NFD"))])
    literal = [name] if "\\" in name else []
    for form in (*literal, *forms):
        if is_file(folder / form):
            return folder / form
    return folder / plain


def is_file(path: Path) -> bool:
    """Whether a path is a file; False also where no file can have such a name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
