"""Objects that were annotated on the stored image, moved to the upright one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kdet.data.convert.example_proto import Object
from kdet.masks.rle import mask_from_runs, runs_from_mask


def turn_object(thing: Object, orientation: int, height: int, width: int) -> Object:
    """An object annotated on the stored image, moved to the upright one.

    Args:
        thing: the object, in pixels of the stored image.
        orientation: EXIF orientation of the stored image, 5..8 (those that swap the sides).
        height, width: size of the stored image.
    """

    def point(x, y):
        return {
            5: (y, x),
            6: (height - y, x),
            7: (height - y, width - x),
            8: (y, width - x),
        }[orientation]

    x, y, w, h = thing.bbox
    corners = point(x, y), point(x + w, y + h)
    left, top = (min(pair) for pair in zip(*corners))
    polygons = tuple(
        tuple(v for xy in zip(p[::2], p[1::2]) for v in point(*xy)) for p in thing.polygons
    )
    runs = thing.runs
    if runs:
        mask = mask_from_runs(runs, height, width)
        mask = {
            5: mask.T,
            6: np.rot90(mask, -1),
            7: mask[::-1, ::-1].T,
            8: np.rot90(mask),
        }[orientation]
        runs = tuple(runs_from_mask(mask))
    return replace(thing, bbox=(left, top, h, w), polygons=polygons, runs=runs)
