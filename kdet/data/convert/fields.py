"""Single values of annotation files: ids, numbers, texts and flags, each checked."""

from __future__ import annotations

import re
from collections import Counter

MISSING = object()
_WHOLE = re.compile(r"\s*[+-]?\d{1,19}\s*", re.ASCII)
_YES, _NO = ("1", "true", "yes", "t", "y"), ("0", "false", "no", "f", "n")
_UNSAID = (
    "",
    "unspecified",
    "unknown",
    "undefined",
    "unset",
    "none",
    "null",
    "n/a",
    "na",
    "-",
    "?",
)


class FieldError(ValueError):
    """A field that cannot be used: which one, and what was expected and came instead."""

    def __init__(self, field, message):
        super().__init__(message)
        self.field = field


class Ids:
    """The ids of one list of a COCO file as 64-bit integers.

    Integers stay. "12" and 12.0 mean 12. Other texts, such as file names, are numbered from 1 in
    their order, past the integers that are in use.

    Attributes:
        numbered: how many texts got a number.
    """

    def __init__(self, records):
        """`records` is the list; entries without a usable id are passed over."""
        texts, used = {}, set()
        for record in records:
            value = record.get("id") if isinstance(record, dict) else None
            number = whole(value)
            if number is not None:
                used.add(number)
            elif _is_text(value):
                texts.setdefault(value, None)
        self._numbers, number = {}, 0
        for text in texts:
            number += 1
            while number in used:
                number += 1
            self._numbers[text] = number
        self.numbered = len(self._numbers)

    def read(self, record: dict, field: str = "id") -> int:
        """The integer that an id field means.

        Raises:
            FieldError: missing, neither an integer nor a text, or a text that is no id of the list.
        """
        value = record.get(field, MISSING)
        number = whole(value)
        if number is None and _is_text(value):
            number = self._numbers.get(value)
        if number is None:
            raise FieldError(field, f"expected an integer, got {shown(value)}")
        return number

    def find(self, record, field: str = "id") -> int | None:
        """As `read`, but None where that raises."""
        try:
            return self.read(record, field)
        except (FieldError, AttributeError):
            return None


def whole(value) -> int | None:
    """A value that means a 64-bit integer (12, 12.0, "12") as that integer; None for others."""
    if isinstance(value, float) and value.is_integer():
        value = int(value) if abs(value) <= 2**53 else None
    elif isinstance(value, str):
        value = int(value) if _WHOLE.fullmatch(value) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2**63) <= value < 2**63 else None


def flag(value, field: str, notes: Counter) -> int:
    """0 or 1 from every form in which flags are written.

    Args:
        value: a number, true or false, or a text such as "1", "true" or "yes". Nothing, an empty
            text and words that say that nothing is known ("Unspecified") mean 0.
        field: its name, for the error and the note.
        notes: counts the words taken for 0.
    Raises:
        FieldError: anything else.
    """
    if value is MISSING or value is None:
        return 0
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return int(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _UNSAID:
            notes[f"objects whose {field} is empty or a word like 'Unspecified', taken as 0"] += 1
            return 0
        if word in _YES or word in _NO:
            return int(word in _YES)
        number = number_of(word)
        if number in (0, 1):
            return int(number)
    raise FieldError(field, f"expected 0 or 1, got {shown(value)}")


def number_of(value) -> float | None:
    """A finite number of less than 1e9 in either direction, also one in a text; None for others."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return value if is_number(value) else None


def is_number(value) -> bool:
    """Whether a JSON value is a finite number of less than 1e9 in either direction."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 10**9  # False for NaN and infinity too


def integer(record: dict, field: str) -> int:
    """A 64-bit integer field. Raises FieldError where it is missing or something else."""
    value = record.get(field, MISSING)
    if not is_integer(value):
        raise FieldError(field, f"expected an integer, got {shown(value)}")
    return value


def is_integer(value) -> bool:
    """Whether a JSON value is a 64-bit integer."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def text_of(record: dict, field: str) -> str:
    """A text field that is not empty. Raises FieldError where it is missing or something else."""
    value = record.get(field, MISSING)
    if not isinstance(value, str) or not value:
        raise FieldError(field, f"expected a text, got {shown(value)}")
    if not _is_text(value):
        raise FieldError(field, f"expected text that UTF-8 can hold, got {value!a}")
    return value


def _is_text(value):
    """Whether a value is a text, not empty, without lone surrogates."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value) -> str:
    """A short rendering of a value for an error line."""
    if value is MISSING:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
