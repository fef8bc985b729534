"""Names in annotation files -> files inside a folder; the files and parts of a folder."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PureWindowsPath

from kdet.data.convert.fields import FieldError
from kdet.errors import DataError

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


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


def files_below(folder: Path, suffixes) -> list[Path]:
    """The files of a folder and its sub-folders with one of these suffixes, sorted by path.

    Hidden files and folders, and what macOS adds to archives, are passed over.

    Args:
        folder: where to look.
        suffixes: in lower case, with the dot.
    Raises:
        DataError: a file name is not UTF-8.
    """
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name != "__MACOSX"]
        good = (name for name in names if name.lower().endswith(suffixes) and name[0] != ".")
        found += [os.path.join(place, name) for name in good]
    for path in found:
        if path.encode("utf-8", "replace").decode() != path:
            raise DataError(f"{path!a}: expected a file name in UTF-8; rename the file")
    return [Path(path) for path in sorted(found)]


def set_folders(folder: Path) -> dict[str, Path]:
    """The sub-folders that are named after a part of a data set: train, val and test."""
    names = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
    places = ((part, folder / name) for part, tried in names.items() for name in tried)
    found = {}
    for part, place in places:
        if place.is_dir():
            found.setdefault(part, place)
    return found
