"""RoIAlign (He et al. 2017) with the sampling of the reference (`roi_align_op.h`).

An RoI goes from x1 * scale to (x2 - 1) * scale, without a half-pixel shift, and is at least one
cell wide. The value of a cell is at whole-numbered coordinates. Each of the R x R bins is the mean
of n x n bilinear samples. A sample up to one cell outside the map takes the value at the border,
and a sample farther outside is 0. Gradients flow to the features, not to the boxes.
"""

from keras import ops

from kdet.ops import boxes as box_ops
from kdet.ops import graphs, tf_kernels

CHUNK = 32  # RoIs per step of `adaptive_roi_align`, which limits its memory


def assign_levels(boxes, lowest, highest):
    """The pyramid level of every box (Lin et al. 2016, equation 1).

    Args:
        boxes: (..., 4) resized pixels; a box of 224 x 224 gets level 4.
        lowest, highest: limits of the level.
    Returns:
        (...) int32.
    """
    side = ops.sqrt(box_ops.area(boxes))
    # the reference adds 1e-6, which also keeps the logarithm of an empty box finite
    level = ops.floor(ops.log2(side / 224 + 1e-6) + 4)
    return ops.cast(ops.clip(level, lowest, highest), "int32")


def multilevel_roi_align(features, boxes, size, samples=2, repeatable=True):
    """RoIAlign on a pyramid with a fixed number of samples per bin; each box uses one level.

    Args:
        features: {"P2": (B, h, w, C), ...}, strides 2^level, levels without gaps.
        boxes: (B, N, 4) float32 resized pixels.
        size: R.
        samples: n, per axis.
        repeatable: False allows a kernel that is several times faster, if the backend has one. Its
            gradient is summed in no fixed order.
    Returns:
        (B, N, R, R, C).
    """
    names = sorted(features)
    first, batch = int(names[0][1:]), ops.shape(boxes)[0]
    channels = features[names[0]].shape[-1]
    shapes = [ops.shape(features[name])[1:3] for name in names]
    counts = [height * width for height, width in shapes]
    level = assign_levels(boxes, first, first + len(names) - 1)
    extents = _extents(boxes, 2.0 ** -ops.cast(level, "float32"))

    if not repeatable and tf_kernels.has_crop_and_resize():
        start = ops.stack([place for place, _ in extents], axis=-1)
        step = ops.stack([length for _, length in extents], axis=-1) / (size * samples)
        maps = [features[name] for name in names]
        pooled = tf_kernels.crop_and_resize_align(
            maps, level - first, start + 0.5 * step, step, size * samples, samples
        )
        return ops.cast(pooled, maps[0].dtype)

    # one table of all levels of all images, so that one gather serves all boxes
    flat = [ops.reshape(features[name], (batch, -1, channels)) for name in names]
    flat = ops.reshape(ops.concatenate(flat, axis=1), (-1, channels))
    height = _per_box([shape[0] for shape in shapes], level - first)
    width = _per_box([shape[1] for shape in shapes], level - first)
    start = _per_box([sum(counts[:i]) for i in range(len(counts))], level - first)
    start = start + ops.arange(batch, dtype="int32")[:, None] * sum(counts)

    columns = _bilinear_weights(*extents[0], width, size, samples)
    rows = _bilinear_weights(*extents[1], height, size, samples)
    bins = graphs.for_other_engines()  # they have no arrays of seven axes
    if bins:
        columns, rows = _one_per_bin(columns, samples), _one_per_bin(rows, samples)
    pooled = sum(_weighted(flat, start, width, x, y) for x in columns for y in rows)
    if not bins:
        shape = (batch, ops.shape(boxes)[1], size, samples, size, samples, channels)
        pooled = ops.sum(ops.reshape(pooled, shape), axis=(3, 5))
    return ops.cast(pooled, flat.dtype)


def _weighted(flat, start, width, column, row):
    """(B, N, n, n, C) cells of the table `flat` times their weights, see `_bilinear_weights`."""
    (x, x_weight), (y, y_weight) = column, row
    y = start[..., None] + y * width[..., None]
    values = ops.take(flat, y[..., :, None] + x[..., None, :], axis=0)
    weight = y_weight[..., :, None] * x_weight[..., None, :]
    return ops.cast(values, "float32") * weight[..., None]


def _one_per_bin(weights, samples):
    """`_bilinear_weights`, divided into parts that have one sample of each bin."""
    return [
        (cell[..., k::samples], w[..., k::samples]) for cell, w in weights for k in range(samples)
    ]


def adaptive_roi_align(features, boxes, size, stride):
    """RoIAlign with as many samples per bin as it covers cells, n = ceil(cells / R) per axis.

    Interpolation and averaging are linear in each axis, so a box needs only two small matrices.

    Args:
        features: (B, h, w, C).
        boxes: (B, N, 4) float32 resized pixels, no larger than the map.
        size: R.
        stride: pixels per cell.
    Returns:
        (B, N, R, R, C).
    """
    height, width = ops.shape(features)[1:3]
    (x, x_length), (y, y_length) = _extents(boxes, 1.0 / stride)
    rows = ops.cast(_averaging(y, y_length, height, size), features.dtype)
    columns = ops.cast(_averaging(x, x_length, width, size), features.dtype)
    channels, parts = features.shape[-1], []
    flat = ops.reshape(features, (-1, height, width * channels))
    for index in range(0, boxes.shape[1], CHUNK):
        some = slice(index, index + CHUNK)
        count = min(CHUNK, boxes.shape[1] - index)
        tall = ops.matmul(ops.reshape(rows[:, some], (-1, count * size, height)), flat)
        tall = ops.reshape(tall, (-1, count, size, width, channels))
        parts.append(ops.matmul(columns[:, some, None], tall))
    return ops.concatenate(parts, axis=1)


def _extents(boxes, scale):
    """((x, length), (y, length)) in cells, each (B, N)."""
    boxes = ops.stop_gradient(boxes)
    # x2 - 1 is the reference's inclusive corner, and it adds no 1 to the length here
    return [
        (
            boxes[..., axis] * scale,
            ops.maximum((boxes[..., axis + 2] - 1 - boxes[..., axis]) * scale, 1.0),
        )
        for axis in (0, 1)
    ]


def _per_box(numbers, index):
    return ops.take(ops.cast(ops.stack(numbers), "int32"), index)


def _bilinear_weights(start, length, count, size, samples):
    """The two cells that each sample along one axis interpolates between, with weights.

    Args:
        start, length: (B, N) float32, in cells.
        count: (B, N) int32, number of cells of the map along this axis.
        size, samples: numbers of bins and of samples per bin.
    Returns:
        [(cell (B, N, size * samples) int32, weight of the same shape), twice].
    """
    step = (ops.arange(size * samples, dtype="float32") + 0.5) / samples
    at = start[..., None] + step * (length / size)[..., None]
    last = ops.cast(count, "float32")[..., None]
    # 1 / samples per axis makes the sum over a bin its mean
    share = ops.where(ops.logical_and(at >= -1.0, at <= last), 1.0 / samples, 0.0)
    at = ops.clip(at, 0.0, last - 1)
    low = ops.floor(at)
    high = ops.minimum(low + 1, last - 1)
    upper = at - low
    return [
        (ops.cast(low, "int32"), (1 - upper) * share),
        (ops.cast(high, "int32"), upper * share),
    ]


def _averaging(start, length, count, size):
    """(B, N, size, count) float32; row k holds the weights of all cells in bin k."""
    cells = ops.cast(count, "float32")
    samples = ops.ceil(length / size)[..., None, None]
    # as many samples as the largest possible box needs; `share` is 0 for those of no use
    sample = ops.arange(-(-count // size) + 1, dtype="float32")
    bins = ops.arange(size, dtype="float32")[:, None] + (sample + 0.5) / samples
    at = start[..., None, None] + bins * (length / size)[..., None, None]
    inside = ops.logical_and(at >= -1.0, at <= cells)
    share = ops.where(ops.logical_and(inside, sample < samples), 1.0 / samples, 0.0)
    at = ops.clip(at, 0.0, cells - 1)
    distance = ops.abs(at[..., None] - ops.arange(count, dtype="float32"))
    return ops.sum(ops.maximum(1 - distance, 0.0) * share[..., None], axis=-2)
