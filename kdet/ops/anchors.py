"""The anchors of the reference's generator (`detection/anchor_generator_op.h`)."""

import math

import numpy as np
from keras import ops

RETINA_RATIOS = (1.0, 2.0, 0.5)
RETINA_STRIDES = {f"P{level}": 2**level for level in range(3, 8)}
RPN_RATIOS = (0.5, 1.0, 2.0)
RPN_LEVELS = {"fpn": ("P2", "P3", "P4", "P5", "P6"), "c4": ("C4",)}


def _round(value):
    """Rounds halves away from zero, as C does; NumPy rounds them to even."""
    return np.floor(np.float32(value) + np.float32(0.5))


def cell_anchors(stride, sizes, ratios):
    """The anchors of the cell at the origin of a feature map.

    Args:
        stride: pixels between cells.
        sizes: anchor sides in pixels.
        ratios: height / width. A base box with the side `stride` is rounded to whole pixels before
            it is scaled to a size, so the area of an anchor is not exactly size * size.
    Returns:
        (len(ratios) * len(sizes), 4) float32 xyxy half-open, ordered by ratio, then by size.
    """
    boxes = []
    for ratio in ratios:
        # in float32, as in the reference, because the rounding depends on it
        base_width = _round(math.sqrt(np.float32(stride * stride / ratio)))
        base_height = _round(base_width * np.float32(ratio))
        for size in sizes:
            scale = np.float32(size) / np.float32(stride)
            width, height = scale * base_width, scale * base_height
            # inclusive pixels: a cell goes from pixel 0 to pixel stride - 1
            center = np.float32(0.5 * (stride - 1))
            x1, y1 = center - 0.5 * (width - 1), center - 0.5 * (height - 1)
            boxes.append((x1, y1, x1 + width, y1 + height))
    return np.array(boxes, "float32")


def grid_anchors(height, width, stride, cell_anchors):
    """Anchors of a whole feature map.

    Args:
        height, width: numbers of cells, as ints or scalar int tensors.
        stride: pixels between cells.
        cell_anchors: (A, 4), from `cell_anchors`.
    Returns:
        (height * width * A, 4) float32, in the order row, column, anchor.
    """
    y = ops.cast(ops.arange(height), "float32") * stride
    x = ops.cast(ops.arange(width), "float32") * stride
    y = ops.broadcast_to(y[:, None], (height, width))
    x = ops.broadcast_to(x[None, :], (height, width))
    shift = ops.stack([x, y, x, y], axis=-1)[:, :, None, :]
    return ops.reshape(shift + ops.convert_to_tensor(cell_anchors), (-1, 4))


def retina_sizes(stride, scale=1.0):
    """RetinaNet's three anchor sides of a level in pixels, scale * 4 * stride * 2^(0, 1/3, 2/3)."""
    return tuple(scale * stride * 4 * 2 ** (octave / 3) for octave in range(3))


def retina_grid(height, width, stride, scale=1.0):
    """RetinaNet's nine anchors per cell on a map of height x width cells; see `grid_anchors`."""
    return grid_anchors(
        height, width, stride, cell_anchors(stride, retina_sizes(stride, scale), RETINA_RATIOS)
    )


def retina_pyramid(canvas, scale=1.0):
    """RetinaNet's anchors of a padded image, levels P3 to P7 in order.

    Args:
        canvas: (h, w) ints, multiples of 128.
        scale: factor of all sizes.
    Returns:
        (A, 4) float32.
    """
    return ops.concatenate(
        [
            retina_grid(math.ceil(canvas[0] / stride), math.ceil(canvas[1] / stride), stride, scale)
            for stride in RETINA_STRIDES.values()
        ]
    )


def rpn_grid(height, width, level, scale=1.0):
    """Anchors of the region proposal network (RPN) on one map; see `grid_anchors`.

    A pyramid level "P2" to "P6" has one size, 8 * stride. The single map "C4" has five sizes, 32 to
    512. All sizes are in pixels and are multiplied by `scale`.
    """
    stride = 2 ** int(level[1:])
    sizes = (8 * stride,) if level.startswith("P") else (32, 64, 128, 256, 512)
    sizes = tuple(scale * size for size in sizes)
    return grid_anchors(height, width, stride, cell_anchors(stride, sizes, RPN_RATIOS))


def rpn_pyramid(canvas, neck, scale=1.0):
    """All anchors of the region proposal network, level by level.

    Args:
        canvas: (h, w) of the padded image, ints.
        neck: "fpn" or "c4".
        scale: factor of all sizes.
    Returns:
        (A, 4) float32.
    """
    return ops.concatenate(
        [
            rpn_grid(*(-(-side // 2 ** int(level[1:])) for side in canvas), level, scale)
            for level in RPN_LEVELS[neck]
        ]
    )
