"""Fields that say something about an object besides its box: what they mean for training.

ignore       a region, not an object: never trained on, never counted; stored as a crowd
difficult    kept as a flag: trained on, and left out by the VOC metric
occluded, truncated    nothing; ordinary objects
rotation     the box is used unrotated
A field is in the object itself or, as CVAT writes it, under its "attributes". What was met is
counted in the report.
"""

from __future__ import annotations

from collections import Counter

from kdet.data.convert.fields import MISSING, FieldError, flag, number_of, shown

IGNORED = "objects marked ignore: regions that are neither trained on nor counted, stored as crowds"
ROTATED = "objects with a rotation: their boxes are used unrotated"
_ROTATIONS = ("rotation", "angle")
_ORDINARY = ("occluded", "truncated")


def marks(fields: dict, notes: Counter) -> tuple[int, int]:
    """What an object's marks mean.

    Args:
        fields: the object's fields by name, with "attributes" as a dict in it where it has some.
        notes: counts what was met.
    Returns:
        Whether it is to be ignored, and whether it is difficult; each 0 or 1.
    Raises:
        FieldError: ignore or difficult is neither 0 nor 1.
    """
    attributes = fields.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}

    def value_of(name):
        return fields[name] if name in fields else attributes.get(name, MISSING)

    ignored = flag(value_of("ignore"), "ignore", notes)
    difficult = flag(value_of("difficult"), "difficult", notes)
    notes.update([IGNORED] * ignored)
    for name in _ORDINARY:
        if _is_set(value_of(name)):
            notes[f"objects marked {name}, used like all others"] += 1
    turns = (number_of(value_of(name)) for name in _ROTATIONS)
    if any(turn is not None and turn % 360 for turn in turns):
        notes[ROTATED] += 1
    return ignored, difficult


def _is_set(value):
    """Whether a mark without consequence is set; whatever it holds, it is no error."""
    number = number_of(value)
    if number is not None:
        return number > 0  # some write the hidden share, or a level from 0 up
    try:
        return bool(flag(value, "", Counter()))
    except FieldError:
        return isinstance(value, str)


def unexpected_box(fields) -> str:
    """For an error: how an object without a plain box describes itself instead; "" where not."""
    others = [name for name in fields if "bndbox" in name.lower() or name in ("polygon", "obb")]
    return f"; its box is written as {shown(others[0])}, which kdet does not read" if others else ""
