"""Conversion between masks, run lengths and COCO's compressed strings.

Runs count pixels in column-major order, down each column and from left to right. They alternate
between background and object. The first run is background and may be 0.
"""

from __future__ import annotations

import numpy as np


def runs_from_string(text: str) -> list[int]:
    """Decodes COCO's compressed `counts` string to run lengths.

    A number is a sequence of characters, and the code of a character is 48 plus a group of six
    bits. Five bits belong to the number, lowest group first; the sixth is set if another group
    follows. From the fourth run on, a number is the difference to the run two places before.

    Raises:
        ValueError: a character outside "0".."o", or an incomplete number at the end.
    """
    runs, value, shift = [], 0, 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"character {character!r} is not part of a compressed mask")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:  # the highest bit of the last group is the sign
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("a compressed mask ends in the middle of a number")
    return runs


def mask_from_runs(runs, height: int, width: int) -> np.ndarray:
    """(height, width) bool mask of run lengths that cover height * width pixels."""
    runs = np.asarray(runs, np.int64)
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def runs_from_mask(mask: np.ndarray) -> list[int]:
    """Run lengths of a (height, width) bool mask."""
    flat = np.asarray(mask, bool).T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def encode_mask(mask) -> dict:
    """A (height, width) bool mask as COCO's compressed run lengths, ready for JSON.

    Returns:
        {"size": [height, width], "counts": str}.
    """
    from pycocotools import mask as coco

    rle = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}
