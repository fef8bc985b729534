"""SSD's prior boxes (`detection/prior_box_op.h`) in fractions of the image, without any "+1"."""

import keras
import numpy as np
from keras import ops

from kdet.layers.base import ConfiguredLayer

VARIANCES = (0.1, 0.1, 0.2, 0.2)


def map_sizes(canvas):
    """Sides of the six maps, which have the strides 16, 32, ... 512; sides are rounded up.

    Args:
        canvas: (h, w) ints.
    Returns:
        six (h, w) pairs.
    """
    return tuple(tuple(-(-side // 2**n) for side in canvas) for n in range(4, 10))


def prior_shapes(sizes, number):
    """Widths and heights in pixels of the priors in a cell of map `number`.

    The finest map has the ratios 1, 2, 1/2. The others have 1, 2, 1/2, 3, 1/3 and then a square,
    whose side is the geometric mean of two sizes.

    Args:
        sizes: `kdet.config.SSD.prior_sizes`, one side per map and one more.
        number: 0 is the finest map.
    Returns:
        (n, 2) float32.
    """
    ratios = (1, 2, 1 / 2) if number == 0 else (1, 2, 1 / 2, 3, 1 / 3)
    shapes = [(sizes[number] * r**0.5, sizes[number] / r**0.5) for r in ratios]
    if number:
        shapes.append(((sizes[number] * sizes[number + 1]) ** 0.5,) * 2)
    return np.array(shapes, "float32")


def prior_boxes(maps, canvas, sizes):
    """Prior boxes of all maps, in the order map, row, column, shape. They may leave the image.

    Args:
        maps: (h, w) of each map, as ints or scalar int tensors.
        canvas: (h, w) of the image, as ints or scalar int tensors.
        sizes: see `prior_shapes`.
    Returns:
        (P, 4) float32 xyxy.
    """
    found = []
    height, width = (ops.cast(side, "float32") for side in canvas)
    for number, (rows, columns) in enumerate(maps):
        y, x = _centers(rows, height), _centers(columns, width)
        half = prior_shapes(sizes, number) / 2
        shape = (rows, columns, len(half))
        x1, x2 = ((x[None, :, None] + s * half[:, 0]) / width for s in (-1, 1))
        y1, y2 = ((y[:, None, None] + s * half[:, 1]) / height for s in (-1, 1))
        sides = [ops.broadcast_to(side, shape) for side in (x1, y1, x2, y2)]
        found.append(ops.reshape(ops.stack(sides, axis=-1), (-1, 4)))
    return ops.concatenate(found)


def _centers(count, length):
    # the reference divides the image evenly, so the step is 300 / 19 pixels and not the stride 16
    step = length / ops.cast(count, "float32")
    return (ops.cast(ops.arange(count), "float32") + 0.5) * step


@keras.saving.register_keras_serializable("kdet")
class SSDPriors(ConfiguredLayer):
    """(six maps (B, h, w, C), image (B, H, W, 3)) -> (P, 4) float32 xyxy fractions of the image.

    Args:
        sizes: sides in pixels; see `prior_shapes`.
    """

    FLOAT32 = True
    SETTINGS = ("sizes",)

    def __init__(self, sizes, **kwargs):
        super().__init__(**kwargs)
        self.sizes = tuple(sizes)

    def call(self, maps, image):
        sides = [ops.shape(features)[1:3] for features in maps]
        return prior_boxes(sides, ops.shape(image)[1:3], self.sizes)

    def compute_output_shape(self, maps_shape, image_shape):
        if any(None in shape[1:3] for shape in maps_shape):
            return (None, 4)
        counts = (3, 6, 6, 6, 6, 6)
        return (sum(n * shape[1] * shape[2] for n, shape in zip(counts, maps_shape)), 4)
