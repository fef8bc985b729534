"""The size of the images that fits a data set."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from kdet.data.batch_plan import resized_shape
from kdet.data.statistics import Statistics


def smallest_side(statistics: Statistics, data) -> float:
    """The typical side in pixels, on resized images, of the objects of the smallest class.

    It is the smallest of the classes' medians of sqrt(width * height). Classes with less than one
    percent of the objects do not count.
    """
    boxes = statistics.resized(data)
    sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    medians = [
        float(np.median(sides[statistics.labels == label]))
        for label, count in zip(*np.unique(statistics.labels, return_counts=True))
        if count >= 0.01 * len(sides)
    ]
    return min(medians, default=math.inf)


def fitted_size(data, statistics: Statistics, smallest: float):
    """The data settings with the smallest images on which small objects are large enough.

    Images are not enlarged for that, unless small objects would have less than half of the wanted
    side. The result is not above 1.75 times the row's size, nor below a lower limit.

    Args:
        data: `kdet.config.Data` of the row.
        statistics: sizes and objects of the data set.
        smallest: side in pixels that a small object should have.
    """
    stored = np.median(statistics.sizes, axis=0)
    short, long = float(stored.min()), float(stored.max())
    now = smallest_side(statistics, data)
    if data.resize == "stretch":
        # In a short run, smaller images help, because it sees them more often. Rows of 300 pixels
        # are small already.
        row, own = data.short_side, long
        least = 256 if row > 300 else row
        most = max(row, min(512, 1.75 * row))
    else:
        smallest *= 1.5  # these rows are made for larger images
        row, least, own, most = data.short_side, 256, short, data.short_side
    needed = row * smallest / now if now and math.isfinite(now) else row
    side = min(needed, max(own, needed / 2))
    side = math.ceil(min(max(side, least), most) / 32) * 32
    side = row if abs(side - row) < 32 else side
    if data.resize == "stretch":
        return replace(data, short_side=side, long_side=side)
    limit = round(side * data.long_side / data.short_side)
    fitted = replace(data, short_side=side, long_side=limit, canvases=())
    _, height, width = resized_shape(*statistics.sizes.T, fitted)
    return replace(fitted, long_side=int(np.maximum(height, width).max()))


def describe_size(data) -> str:
    """The size of the images as text."""
    if data.resize == "stretch":
        return f"{data.short_side} x {data.short_side}"
    return f"with a short side of {data.short_side} and a long side up to {data.long_side} pixels"
