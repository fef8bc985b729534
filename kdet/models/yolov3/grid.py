"""Decodes predictions on YOLOv3's grid to boxes (`detection/yolo_box_op.h`)."""

from keras import ops

STRIDES = {"P3": 8, "P4": 16, "P5": 32}


def level_anchors(anchors, level):
    """The anchors of a level; `anchors` are (width, height) in pixels, finest level first."""
    per_level = len(anchors) // len(STRIDES)
    first = sorted(STRIDES).index(level) * per_level
    return tuple(anchors[first : first + per_level])


def split_predictions(outputs, anchors):
    """One row per predicted box, in the order row, column, anchor.

    Args:
        outputs: (B, h, w, A * (5 + K)) output of a level, anchor-major: x, y, w, h, objectness, K
            classes.
        anchors: A.
    Returns:
        (B, h * w * A, 5 + K).
    """
    rows, columns = ops.shape(outputs)[1:3]
    return ops.reshape(outputs, (-1, rows * columns * anchors, outputs.shape[3] // anchors))


def decode_boxes(outputs, anchors, stride):
    """Boxes of a level in fractions of the image.

    Args:
        outputs: (B, h, w, A * (5 + K)) float32 output.
        anchors: A (width, height) in pixels.
        stride: pixels between cells; the image is stride * h by stride * w.
    Returns:
        (B, h * w * A, 4) float32 xyxy, not clipped, in the order of `split_predictions`.
    """
    rows, columns = ops.shape(outputs)[1:3]
    cells = [ops.cast(n, "float32") for n in (columns, rows)]
    outputs = ops.reshape(
        outputs, (-1, rows, columns, len(anchors), outputs.shape[3] // len(anchors))
    )
    x = ops.cast(ops.arange(columns), "float32")[None, :, None]
    y = ops.cast(ops.arange(rows), "float32")[:, None, None]
    shapes = ops.convert_to_tensor(anchors, dtype="float32")
    low, high = [], []
    for axis, place in enumerate((x, y)):
        center = (place + ops.sigmoid(outputs[..., axis])) / cells[axis]
        half = 0.5 * ops.exp(outputs[..., 2 + axis]) * shapes[:, axis] / (stride * cells[axis])
        low.append(center - half)
        high.append(center + half)
    return ops.reshape(ops.stack(low + high, axis=-1), (-1, rows * columns * len(anchors), 4))
