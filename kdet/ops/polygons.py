"""Turns polygons into masks, with the grid and the rounding of COCO's own tools.

An object is a list of directed edges (x1, y1, x2, y2). Every edge has the number of the closed
polygon that it belongs to. The mask of an object is the union of its polygons.
"""

from keras import ops

from kdet.ops import boxes as box_ops
from kdet.ops import gather

FINE = 5  # polygons are drawn on a grid that is this many times finer than the mask
TIE = 1e-4  # added before rounding, because float32 may give slightly less than a whole number
MAX_PARTS = 31  # polygons per object; each one uses one bit of an int32


def edge_boxes(edges, parts):
    """The box around the points of every object.

    Args:
        edges: (B, M, E, 4) float32 pixels.
        parts: (B, M, E) int32, -1 in unused entries.
    Returns:
        (B, M, 4) float32 half-open; zeros for an object without edges.
    """
    used, huge = (parts >= 0)[..., None], 1e9
    low = ops.min(ops.where(used, ops.minimum(edges[..., :2], edges[..., 2:]), huge), axis=2)
    high = ops.max(ops.where(used, ops.maximum(edges[..., :2], edges[..., 2:]), -huge), axis=2)
    # the largest coordinate is an inclusive corner
    boxes = ops.concatenate([low, high + 1], axis=-1)
    return ops.where(ops.any(used, axis=2), boxes, 0.0)


def rasterize(edges, parts, match, regions, size):
    """The part of an object inside a region, as a small mask.

    The outline of a polygon is drawn on the fine grid. Where it crosses the middle of a mask
    column, the pixels below change between inside and outside. The loop visits one edge of every
    object at a time.

    Args:
        edges: (B, M, E, 4) float32 pixels.
        parts: (B, M, E) int32 below `MAX_PARTS`, -1 in unused entries, which come last.
        match: (B, N) int32, index of the object to draw in each region.
        regions: (B, N, 4) half-open boxes in the same pixels. The mask ends at (x2 - 1, y2 - 1), as
            in the reference (`generate_mask_labels_op.cc`).
        size: side of the mask.
    Returns:
        (B, N, size, size) bool.
    """
    corner = regions[..., :2]
    extent = ops.maximum(regions[..., 2:] - 1 - corner, 1.0)
    corner, extent = ops.tile(corner, (1, 1, 2)), ops.tile(extent, (1, 1, 2))
    # larger coordinates do not change the mask, and up to here float32 is exact
    limit = 1e5
    count = ops.sum(ops.cast(parts >= 0, "int32"), axis=2)
    steps = ops.max(ops.take_along_axis(count, match, axis=1))
    rows = ops.arange(size, dtype="float32")[:, None]

    def visit(step, sides):
        edge = gather.batch_gather(ops.take(edges, step, axis=2), match)
        part = ops.take_along_axis(ops.take(parts, step, axis=2), match, axis=1)
        points = ops.clip((edge - corner) * size / extent, -limit, limit)
        points = FINE * points + 0.5
        points = ops.sign(points) * ops.floor(ops.abs(points) + TIE)  # like a cast to int in C
        crosses, row = _crossings(points, size)
        below = ops.logical_and(crosses[..., None, :], rows >= row[..., None, :])
        below = ops.logical_and(below, (part >= 0)[..., None, None])
        # one bit per polygon, because overlapping polygons must not cancel each other
        bit = ops.left_shift(ops.ones_like(part), ops.maximum(part, 0))[..., None, None]
        return step + 1, ops.bitwise_xor(sides, ops.where(below, bit, 0))

    shape = (*ops.shape(match), size, size)
    start = (ops.convert_to_tensor(0, dtype="int32"), ops.zeros(shape, dtype="int32"))
    sides = ops.while_loop(
        lambda step, sides: step < steps, visit, start, maximum_iterations=edges.shape[2]
    )[1]
    return sides != 0


def _crossings(points, size):
    """Where edges on the fine grid cross the middles of the mask's columns.

    An edge is drawn in unit steps along its longer axis, and the other coordinate is rounded.

    Args:
        points: (..., 4) float32 whole numbers x1, y1, x2, y2.
        size: number of columns.
    Returns:
        (..., size) bool, and (..., size) float32, the first row below the crossing, 0 to size.
    """
    x1, y1, x2, y2 = (points[..., i, None] for i in range(4))
    # an edge crosses between this fine column and the next one
    column = ops.arange(size, dtype="float32") * FINE + FINE // 2
    crosses = ops.logical_and(ops.minimum(x1, x2) <= column, ops.maximum(x1, x2) > column)
    width, height = ops.abs(x2 - x1), ops.abs(y2 - y1)
    flat = width >= height

    # steps along x from the left end; y is rounded on both sides of the crossing
    left = x1 <= x2
    x, y = ops.where(left, x1, x2), ops.where(left, y1, y2)
    slope = (ops.where(left, y2, y1) - y) / ops.maximum(width, 1.0)
    here = ops.floor(y + slope * (column - x) + 0.5 + TIE)
    there = ops.floor(y + slope * (column + 1 - x) + 0.5 + TIE)
    along_x = ops.minimum(here, there)

    # steps along y from the upper end; the last step before the rounded column changes
    upper = y1 <= y2
    x, y = ops.where(upper, x1, x2), ops.where(upper, y1, y2)
    run = ops.where(upper, x2, x1) - x
    steps = (column + 0.5 - x) * height / ops.where(run == 0, 1.0, run)
    along_y = y + ops.where(run > 0, ops.ceil(steps - TIE) - 1, ops.floor(steps + TIE))

    fine = ops.where(flat, along_x, along_y)
    # the first row whose middle is not above; + 0.5 avoids floor of an inexact whole number
    return crosses, ops.clip(ops.floor((fine + FINE // 2 + 0.5) / FINE), 0.0, float(size))


def best_object(regions, boxes, present):
    """Index (B, N) int32 of the object whose box has the highest IoU with each region.

    The first object is used on ties.

    Args:
        regions: (B, N, 4).
        boxes: (B, M, 4), e.g. of `edge_boxes`.
        present: (B, M) bool.
    """
    overlap = ops.where(present[:, None, :], box_ops.iou(regions, boxes), -1.0)
    return ops.cast(ops.argmax(overlap, axis=2), "int32")
