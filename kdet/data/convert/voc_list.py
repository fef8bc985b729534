"""Text files with one entry per line: VOC's image lists and label files, told from other files."""

from __future__ import annotations

import json
import re
from pathlib import Path

from kdet.data.convert.source import read_file
from kdet.errors import DataError

_NAME_AND_NUMBER = re.compile(r".*\S\s+[+-]?\d+")
_BINARY = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"GIF8": "a GIF image",
    b"RIFF": "a WebP image",
    b"BM": "a BMP image",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
}


def read_lines(path, content: str) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1.

    Args:
        path: the file.
        content: what each line should hold, for the error.
    Raises:
        DataError: unreadable, not UTF-8, or another kind of file: an image, XML, JSON.
    """
    data = read_file(path)
    if came := _other_kind(data, path):
        raise DataError(f"{path}: expected a text file with {content} per line, got {came}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected UTF-8 text") from None
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [(number, line) for number, line in lines if line]


def refuse_class_list(path, lines, is_there) -> None:
    """Raises DataError for a list of one class: a name and a number in every line.

    Args:
        path: the list.
        lines: what `read_lines` returned.
        is_there: whether a line as a whole names a file.
    """
    if not lines or not all(_NAME_AND_NUMBER.fullmatch(line) for _, line in lines):
        return
    number, line = lines[0]
    if not is_there(line):
        raise DataError(
            f"{path}: line {number}: expected the name of an image, got {line[:80]!r}, a name and "
            "a number; this is the list of one class (1: the image shows it, -1: it does not); "
            "give a list with one image per line, such as ImageSets/Main/trainval.txt"
        )


def _other_kind(data, path):
    """What a file is that is no list of lines; "" for a list."""
    if data.startswith((b"\xff\xfe\x00", b"\xff\xfe", b"\xfe\xff")) and len(data) > 2:
        return "UTF-16 text; save it as UTF-8"
    for start, name in _BINARY.items():
        if data.startswith(start) and (b"\0" in data or start in (b"\xff\xd8\xff", b"\x89PNG")):
            return name
    if b"\0" in data:
        return "a binary file"
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"<":
        return "XML"
    if start in (b"{", b"[") and (Path(path).suffix.lower() == ".json" or _is_json(data)):
        return "JSON; a COCO file is converted by 'kdet convert coco --annotations FILE'"
    return ""


def _is_json(data):
    try:
        return isinstance(json.loads(data), (dict, list))
    except (ValueError, RecursionError):
        return False
