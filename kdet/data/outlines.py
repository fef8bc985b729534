"""Outlines of objects as arrays of directed edges. `kdet.ops.polygons` draws masks from them.

The arrays have a fixed size, so outlines with more edges are simplified. The mask of an object is
the union of its parts, and a part is the area inside its closed edges. A polygon becomes a part
with its own points. Run lengths become one part with the horizontal edges of the mask. Its vertical
edges are left out, because they do not change a mask that is drawn column by column.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

MOST_PARTS = 31  # parts per object, the largest ones; equal to `kdet.ops.polygons.MAX_PARTS`


def outlines(values: dict, wanted, most: int):
    """The outlines of the objects of a record. It can be traced.

    Args:
        values: the record's polygon/*, rle/* and image/height (`kdet.data.schema`).
        wanted: (n,) bool. The outlines of other objects are empty.
        most: E, the largest number of edges per object. `outline` simplifies larger outlines.
    Returns:
        (n, E, 4) float32 x1 y1 x2 y2 in pixels of the image, and (n, E) int32, the part of each
        edge, which is -1 in unused places.
    """
    names = ("polygon/parts", "polygon/sizes", "polygon/points", "rle/runs", "rle/lengths")
    arrays = [values[name] for name in (*names, "image/height")]
    edges, parts = tf.numpy_function(
        lambda *arrays: _outlines(*arrays, most), [*arrays, wanted], (tf.float32, tf.int32), False
    )
    return tf.ensure_shape(edges, [None, most, 4]), tf.ensure_shape(parts, [None, most])


def _outlines(parts, sizes, points, runs, lengths, height, wanted, most):
    edges = np.zeros((len(wanted), most, 4), np.float32)
    numbers = np.full((len(wanted), most), -1, np.int32)
    polygons = np.split(points.reshape(-1, 2), np.cumsum(sizes)[:-1])
    first_polygon = np.cumsum(parts) - parts
    first_run = np.cumsum(runs) - runs
    for k in np.flatnonzero(wanted):
        mine = polygons[first_polygon[k] : first_polygon[k] + parts[k]]
        mask = lengths[first_run[k] : first_run[k] + runs[k]]
        found, part = outline(mine, mask, int(height), most)
        edges[k, : len(found)], numbers[k, : len(found)] = found, part
    return edges, numbers


def outline(polygons, runs, height: int, most: int):
    """The edges of one object.

    If a polygon has too many edges, the point whose triangle with its neighbours has the smallest
    area is removed first (Visvalingam and Whyatt 1993). If run lengths have too many edges, several
    columns become one column.

    Args:
        polygons: list of (p, 2) arrays, x y in pixels. It is empty if the object has run lengths.
        runs: run lengths of a mask (`kdet.masks.rle`), or empty.
        height: height of the image.
        most: largest number of edges, at least 3.
    Returns:
        (e, 4) float32 edges and (e,) int32 parts, e <= most.
    """
    if not len(polygons):
        edges = _steps(np.asarray(runs, np.int64), height, most)
        return edges, np.zeros(len(edges), np.int32)
    polygons = sorted(polygons, key=_area, reverse=True)[:MOST_PARTS]
    polygons = _thinned([np.asarray(p, np.float32) for p in polygons], most)
    edges = [np.hstack([p, np.roll(p, -1, axis=0)]) for p in polygons]
    parts = np.repeat(np.arange(len(edges), dtype=np.int32), [len(e) for e in edges])
    return np.concatenate(edges), parts


def mirror(edges, width):
    """Edges (n, E, 4), mirrored left to right: x' = width - x. `width` is a float32 scalar.

    (The reference moves mirrored polygons one pixel further, but not mirrored run lengths.)
    """
    x1, y1, x2, y2 = tf.unstack(edges, axis=-1)
    return tf.stack([width - x1, y1, width - x2, y2], axis=-1)


def _area(polygon):
    x, y = np.asarray(polygon, np.float64).T
    return abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def _triangles(polygon):
    """(p,) twice the area of the triangle of each point and its two neighbours."""
    before, after = np.roll(polygon, 1, axis=0) - polygon, np.roll(polygon, -1, axis=0) - polygon
    return np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0])


def _thinned(polygons, most):
    triangles = [_triangles(polygon) for polygon in polygons]
    total = sum(map(len, polygons))
    while total > most:
        k = min(range(len(polygons)), key=lambda k: triangles[k].min())
        if len(polygons[k]) > 3:
            polygons[k] = np.delete(polygons[k], triangles[k].argmin(), axis=0)
            triangles[k] = _triangles(polygons[k])
            total -= 1
        else:  # the part is only this triangle, so the part is removed
            total -= len(polygons.pop(k))
            triangles.pop(k)
    return polygons


def _steps(runs, height, most):
    """The horizontal edges of a mask, (e, 4) float32."""
    columns, tops, bottoms = _pieces(runs, height)
    if not len(columns):
        return np.zeros((0, 4), np.float32)
    left, width = columns[0], columns[-1] + 1 - columns[0]
    for stride in range(1, width + 1):
        middles = left + np.arange(0, width, stride) + stride // 2
        kept = np.flatnonzero(np.isin(columns, np.minimum(middles, left + width - 1)))
        if stride == width:  # one column is left, of which the longest pieces are used
            kept = kept[np.argsort(tops[kept] - bottoms[kept], kind="stable")[: most // 2]]
        # sorted by row, edges of neighbouring columns follow each other and are joined
        group = np.tile((columns[kept] - left) // stride, 2)
        place = np.sort(np.concatenate([tops[kept], bottoms[kept]]) * (width + 2) + group)
        first = np.flatnonzero(np.diff(place, prepend=-2) != 1)
        if len(first) <= most:
            break
    row, start = np.divmod(place[first], width + 2)
    end = place[np.append(first[1:], len(place)) - 1] % (width + 2) + 1
    start, end = (left + np.minimum(v * stride, width) for v in (start, end))
    return np.stack([start, row, end, row], axis=1).astype(np.float32)


def _pieces(runs, height):
    """The vertical pieces of a mask: column, first row, row after the last, (p,) int each."""
    flips = np.cumsum(runs)
    start, end = flips[:-1:2], flips[1::2]
    start, end = start[end > start], end[end > start]
    first, count = start // height, (end - 1) // height - start // height + 1
    column = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    column = column + np.repeat(first, count)
    top = np.maximum(np.repeat(start, count), column * height) - column * height
    bottom = np.minimum(np.repeat(end, count), (column + 1) * height) - column * height
    return column, top, bottom
