"""The small part of YAML that data.yaml files of YOLO use, read without another package.

A key at the start of a line has a scalar, a list or a table of numbers as its value. Lists and
tables are written in brackets, also over several lines, or one entry per line. Keys that kdet does
not use are passed over with everything below them. What this file does not know is an error.
"""

from __future__ import annotations

import json
import re

from kdet.errors import DataError

USED = ("path", "train", "val", "valid", "test", "names", "nc", "kpt_shape")
_QUOTED = r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\""""
# everything before a comment; a quote opens a text only where a value can begin
_CONTENT = re.compile(rf"(?:(?<![^\s\[{{,:-])(?:{_QUOTED})|(?<![\s])#|[^#])*")
_KEY = re.compile(r"([A-Za-z_][\w-]*)\s*:(?:\s+(.*))?")
_FLOW = re.compile(
    rf"""\s*(?:(\d+)\s*:\s+)?({_QUOTED}|[^\s'"\[\]{{}},][^\[\]{{}},]*?)?\s*([,\]}}])"""
)
_ENTRY = re.compile(r"\s*(?:-|(\d+)\s*:)\s+(\S.*)")
_SPECIAL = tuple("|>&*!%@`[]{},#?")  # plain texts do not begin like this


class _Unknown(ValueError):
    """Something that this reader does not know."""


def read_yaml(text: str, file) -> dict:
    """The keys of a data.yaml file that kdet uses.

    Args:
        text: the content of the file.
        file: its name, for errors.
    Returns:
        {key: text, list of texts, {number: text}, or None for nothing}. Numbers and words such as
        `no` stay texts, because they may be names of classes.
    Raises:
        DataError: one line with the line number, for a form that is not known or a repeated key.
    """
    found, number = {}, 0
    try:
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
                continue
            line = _CONTENT.match(line)[0].rstrip()
            if key := _KEY.fullmatch(line):
                if key[1] in found:
                    raise _Unknown(f"expected each key once, got {key[1]!r} again")
                lines = found[key[1]] = [(number, key[2] or "")]
            elif found and line[0] in " \t-]}":
                lines.append((number, line))
            else:
                raise _Unknown(f"expected 'key: value', got {line[:60]!r}")
        values = {}
        for key in (key for key in USED if key in found):
            number = found[key][0][0]
            values[key] = _value(found[key])
        return values
    except _Unknown as bad:
        raise DataError(f"{file}: line {number}: {bad}") from None


def _value(lines):
    """The value of one key, from (line number, text) pairs; the first one is behind the key."""
    first, *more = (line for _, line in lines)
    whole = " ".join([first, *map(str.strip, more)]).strip()
    if whole[:1] in ("[", "{"):
        return _flow(whole)
    if first and more:
        raise _Unknown(f"expected one value, got more below it: {more[0].strip()[:60]!r}")
    if first:
        return None if first in ("~", "null") else _scalar(first)
    return _block(more) if more else None


def _flow(text):
    """A list or a table in brackets."""
    at, entries, end = 1, [], "]" if text[0] == "[" else "}"
    while True:
        found = _FLOW.match(text, at)
        if not found:
            raise _Unknown(f"expected entries and {end!r}, got {text[at : at + 60]!r}")
        at, last = found.end(), found[3] != ","
        if found[2] is not None:
            entries.append((found[1], _scalar(found[2])))
        elif not last or found[1]:
            raise _Unknown(f"expected a value before {found[3]!r}, got nothing")
        if last:
            break
    if found[3] != end or text[at:]:
        raise _Unknown(f"expected {end!r} as the end, got {text[at - 1 :][:60]!r}")
    return _collected(entries, end == "}")


def _block(lines):
    """A list or a table with one entry per line."""
    entries, indents = [], {len(line) - len(line.lstrip()) for line in lines}
    for line in lines:
        found = _ENTRY.fullmatch(line)
        if not found or len(indents) > 1:
            raise _Unknown(
                f"expected lines '- text' or 'number: text' below each other, got {line[:60]!r}"
            )
        entries.append((found[1], _scalar(found[2])))
    return _collected(entries, entries[0][0] is not None)


def _collected(entries, table):
    keys = [key for key, _ in entries]
    if any((key is None) is table for key in keys):
        raise _Unknown("expected either texts or 'number: text' entries, got both or the other")
    if not table:
        return [text for _, text in entries]
    found = {int(key): text for key, text in entries}
    if len(found) < len(keys):
        raise _Unknown("expected each number once")
    return found


def _scalar(text):
    """A quoted or a plain text."""
    if text[0] == "'" and len(text) > 1 and re.fullmatch(_QUOTED, text):
        return text[1:-1].replace("''", "'")
    try:
        if text[0] == '"':
            return json.loads(text)
    except ValueError:
        raise _Unknown(f"expected a text in quotes, got {text[:60]!r}") from None
    if text[0] == "'" or text.startswith((*_SPECIAL, "- ")) or re.search(r":(\s|$)", text):
        raise _Unknown(f"expected a text, got {text[:60]!r}, a form that kdet does not read")
    return text
