"""Masks in the pixels of an image, from the probabilities in a box or from outlines."""

from __future__ import annotations

import numpy as np


def paste_mask(probabilities, box, size, threshold: float = 0.5) -> np.ndarray:
    """Resizes a predicted mask to its box in the image.

    This is the reference's rule (`ppdet/utils/coco_eval.py`, mask2out) for half-open boxes. The
    M x M values get a border of zeros that is one cell wide. The box from x1 to x2 - 1 grows about
    its centre by (M + 2) / M, and its corners are truncated to whole pixels. The values are then
    resized bilinearly to the pixels between the corners, both included.

    Args:
        probabilities: (M, M) float32, 0..1.
        box: (4,) xyxy, pixels of the image, half-open.
        size: height and width of the image.
        threshold: pixels with a larger value belong to the mask.
    Returns:
        (height, width) bool in column-major order, which `encode_mask` needs.
    """
    side = len(probabilities)
    padded = np.pad(np.asarray(probabilities, np.float32), 1)
    box = np.asarray(box, np.float32)
    low, high = box[:2], box[2:] - 1  # inclusive corners
    middle, half = (low + high) / 2, (high - low) / 2 * np.float32((side + 2) / side)
    low, high = (middle - half).astype(np.int64), (middle + half).astype(np.int64)
    mask = np.zeros(size, bool, order="F")
    columns, left, right = _stretch(low[0], high[0], side + 2, size[1])
    rows, top, bottom = _stretch(low[1], high[1], side + 2, size[0])
    if len(rows) and len(columns):
        area = _blend(_blend(padded, top, bottom).T, left, right).T
        mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = area > threshold
    return mask


def _stretch(first, last, cells, limit):
    """Pixels first..last inside 0..limit - 1, and for each one two (cell index, weight) pairs."""
    count = max(last - first + 1, 1)
    pixels = np.arange(max(first, 0), min(first + count, limit))
    # half-pixel centres, like the resize of OpenCV
    place = np.clip((pixels - first + 0.5) * (cells / count) - 0.5, 0, cells - 1)
    lower = np.floor(place).astype(np.int64)
    share = (place - lower).astype(np.float32)[:, None]
    return pixels, (lower, 1 - share), (np.minimum(lower + 1, cells - 1), share)


def _blend(values, *parts):
    return sum(values[index] * share for index, share in parts)


def paste_masks(probabilities, boxes, size, threshold: float = 0.5) -> np.ndarray:
    """(n, M, M) probabilities and (n, 4) boxes -> (n, height, width) bool; see `paste_mask`."""
    masks = np.zeros((len(boxes), *size), bool)
    for k, (values, box) in enumerate(zip(probabilities, boxes)):
        masks[k] = paste_mask(values, box, size, threshold)
    return masks


def fill_outlines(edges, parts, size) -> np.ndarray:
    """The area inside outlines; the mask of an object is the union of its parts.

    Args:
        edges: (n, E, 4) float32 x1 y1 x2 y2, pixels of the image.
        parts: (n, E) int32, the part that each edge belongs to; -1 in unused entries.
        size: height and width of the image.
    Returns:
        (n, height, width) bool, whether the centre of a pixel is inside.
    """
    height, width = size
    masks = np.zeros((len(edges), height, width), bool)
    for k, numbers in enumerate(parts):
        for number in set(numbers.tolist()) - {-1}:
            x1, y1, x2, y2 = np.float64(edges[k][numbers == number]).T[..., None]
            column = np.arange(width) + 0.5
            crossed = (np.minimum(x1, x2) <= column) & (column < np.maximum(x1, x2))
            run = np.where(x1 == x2, 1, x2 - x1)
            first = np.clip(np.ceil(y1 + (y2 - y1) * (column - x1) / run - 0.5), 0, height)
            # all pixels below a crossing change between inside and outside
            changes = np.zeros((height + 1, width), np.int64)
            np.add.at(changes, (first.astype(int)[crossed], np.nonzero(crossed)[1]), 1)
            masks[k] |= np.cumsum(changes[:-1], axis=0) % 2 == 1
    return masks
