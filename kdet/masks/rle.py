"""Run lengths of masks: COCO's compressed strings, and masks as arrays.

Runs count pixels in column-major order (down each column, columns left to right) and alternate
between background and object; the first run is background and may be 0.
"""

from __future__ import annotations

import numpy as np


def runs_from_string(text: str) -> list[int]:
    """COCO's compressed `counts` string as run lengths.

    Each number is written in groups of five bits, lowest first, as characters from "0"; bit 6 says
    that more groups follow. From the fourth run on a number is the difference to the run two back.

    Raises:
        ValueError: a character outside "0".."o", or a number cut off at the end.
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
        if group & 16:
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
    """A (height, width) bool mask as COCO's compressed run lengths, JSON-ready.

    Returns:
        {"size": [height, width], "counts": str}.
    """
    from pycocotools import mask as coco

    rle = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}
