"""Large images as overlapping tiles, and the detections of the tiles as those of the image.

A detection that ends at the border of its tile, inside of the image, is called cut. Cut detections
are dropped where another tile sees all of them. A cut detection that matches the detection of
another view, as far as both views see it, belongs to it; two cut ones are joined to one.
"""

from __future__ import annotations

import math

import numpy as np

from kdet.errors import ConfigError

_LEAST = 32  # pixels; smaller tiles are a mistake and would be very many
_MARGIN = 0.05  # of a tile's side: a box that ends so close to its border counts as cut


def check(tiles, overlap) -> None:
    """Raises ConfigError for a size of tiles or an overlap that `windows` cannot use."""
    sides = () if tiles is None or isinstance(tiles, bool) else np.ravel(tiles).tolist()
    if len(sides) > 2 or any(type(side) is not int or side < _LEAST for side in sides):
        raise ConfigError(f"tiles: expected a size of at least {_LEAST} pixels, got {tiles}")
    if not 0 <= overlap <= 0.9:
        raise ConfigError(f"overlap: expected a share of 0 to 0.9, got {overlap}")


def tile_size(size, data) -> tuple[int, int]:
    """The largest tile that the detector does not reduce: one stored pixel stays one pixel.

    Args:
        size: height and width of the image.
        data: `kdet.config.Data`.
    Returns:
        height and width. Both are `short_side` where images are stretched. Otherwise, the side
        along the longer side of the image is `long_side`, and the other one is `short_side`.
    """
    if data.resize == "stretch":
        return data.short_side, data.short_side
    sides = data.short_side, data.long_side
    return sides if size[1] >= size[0] else sides[::-1]


def windows(size, data, tiles=None, overlap=0.2, whole=True) -> np.ndarray:
    """The views of an image.

    Args:
        size: height and width of the image.
        data: `kdet.config.Data`, for the default size of tiles.
        tiles, overlap, whole: as in `kdet.predict.detect`.
    Returns:
        (V, 4) int64 xyxy: the tiles row by row, evenly spaced, and at the end the whole image
        where `whole` says so. An image that fits one tile has one view, which is all of it.
    """
    height, width = size
    everything = np.array([[0, 0, width, height]])
    if tiles is None or tiles is False:
        return everything
    tile = tile_size(size, data) if tiles is True else np.broadcast_to(tiles, 2).tolist()
    rows, columns = (_spans(side, part, overlap) for side, part in zip(size, tile))
    areas = [(x1, y1, x2, y2) for y1, y2 in rows for x1, x2 in columns]
    cut = np.array(areas)
    return np.concatenate([cut, everything]) if whole and len(cut) > 1 else cut


def _spans(length, tile, overlap):
    """(start, end) of tiles along one side of the image."""
    if length <= tile:
        return [(0, length)]
    shared = math.ceil(overlap * tile)
    count = math.ceil((length - shared) / max(tile - shared, 1))
    starts = np.round(np.linspace(0, length - tile, count)).astype(int).tolist()
    return [(start, start + tile) for start in starts]


def merged(views, windows, iou_threshold):
    """The detections of an image from those of its views.

    Args:
        views: for each view {"boxes": (n, 4) pixels of the view, "scores": (n,), "labels": (n,)[,
            "masks": (n, M, M)]}, without padding.
        windows: (V, 4) of `windows`; several.
        iou_threshold: of two boxes of one class with a larger IoU, the better one stays.
    Returns:
        found: the same keys, by descending score; boxes in pixels of the image.
        parts: for each detection the masks (p, M, M) and the boxes (p, 4) that it was joined of,
            or None without masks.
    """
    view = np.repeat(np.arange(len(views)), [len(v["scores"]) for v in views])
    found = {name: np.concatenate([v[name] for v in views]) for name in views[0]}
    area = windows[view].astype(np.float32)
    boxes = found["boxes"] + np.tile(area[:, :2], 2)
    size = windows[:, 2:].max(axis=0)
    inner = np.concatenate([windows[:, :2] > 0, windows[:, 2:] < size], axis=1)
    margin = _MARGIN * np.tile(windows[:, 2:] - windows[:, :2], 2)
    safe = np.where(inner, windows + margin * [1, 1, -1, -1], [-np.inf, -np.inf, np.inf, np.inf])
    cut = ~_inside(boxes, safe[view])
    tiles = inner.any(axis=1)
    seen = np.array([_inside(boxes, limits) for limits in safe[tiles]]).any(axis=0)
    # canvases are padded, so that a box may reach beyond its tile
    shown = np.where(inner[view], _clipped(boxes, area), boxes)
    alive = np.flatnonzero(~(cut & seen))
    values = (shown, found["scores"], found["labels"], view, area, cut)
    joined, scores, parts = _joined(*(value[alive] for value in values), iou_threshold)
    order = sorted(parts, key=lambda k: -scores[k])
    taken = alive[order]
    result = {"boxes": joined[order], "scores": scores[order], "labels": found["labels"][taken]}
    if "masks" not in found:
        return result, None
    result["masks"] = found["masks"][taken]
    members = [alive[parts[k]] for k in order]
    return result, [(found["masks"][some], boxes[some]) for some in members]


def _joined(boxes, scores, labels, view, area, cut, iou_threshold):
    """NMS between views; gives boxes, scores, and index of what stays -> indices of its parts."""
    boxes, scores, area, parts = boxes.copy(), scores.copy(), area.copy(), {}
    stays = np.zeros(len(boxes), bool)
    everywhere = np.float32([-np.inf, -np.inf, np.inf, np.inf])
    # whole ones first, because they tell what an object looks like from other views
    for i in np.lexsort((-scores, cut)):
        # the detector has compared the boxes of one view already
        rivals = np.flatnonzero(stays & (labels == labels[i]) & (view != view[i]))
        ours = _clipped(boxes[i], np.where(cut[rivals, None], area[rivals], everywhere))
        theirs = _clipped(boxes[rivals], area[i] if cut[i] else everywhere)
        overlap = _iou(ours, theirs)
        if not (overlap > iou_threshold).any():
            stays[i], parts[i] = True, [i]
            continue
        k = rivals[overlap.argmax()]
        scores[k] = max(scores[k], scores[i])
        if cut[k]:  # then both are
            parts[k].append(i)
            for both in (boxes, area):
                both[k, :2] = np.minimum(both[k, :2], both[i, :2])
                both[k, 2:] = np.maximum(both[k, 2:], both[i, 2:])
    return boxes, scores, parts


def _inside(boxes, limits):
    return ((boxes >= limits) == [True, True, False, False]).all(axis=-1)


def _clipped(boxes, limits):
    low, high = np.tile(limits[..., :2], 2), np.tile(limits[..., 2:], 2)
    return np.clip(boxes, low, high)


def _iou(a, b):
    """IoU of the boxes of two (n, 4) arrays, row by row; 0 for empty boxes."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.maximum(sides, 0).prod(axis=1)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - shared
    return shared / np.maximum(union, 1e-9)
