"""YOLOv3's losses (`detection/yolov3_loss_op.h`), as sums over an image and means over images."""

import numpy as np
from keras import ops

from kdet.models.yolov3 import grid
from kdet.ops import gather
from kdet.ops.matching import best_match

SMALLEST = 1e-6  # boxes with a side below this fraction of the image are ignored


def targets(config, batch):
    """Assigns the ground-truth boxes to predictions.

    Args:
        config: `kdet.config.YOLOv3`.
        batch: "image" (B, H, W, 3) for its size, "boxes" (B, M, 4) pixels of that image, "labels"
            (B, M), "valid" (B, M), and optionally "scores" (B, M), the mixup weight of each box.
    Returns:
        The result of `assign`, and {"images": scalar float32}.
    """
    height, width = batch["image"].shape[1:3]
    side = ops.convert_to_tensor([width, height], dtype="float32")
    # the reference's width is x2 - x1 of inclusive corners, without "+1"
    low, high = batch["boxes"][..., :2] / side, (batch["boxes"][..., 2:] - 1) / side
    size = high - low
    scores = batch.get("scores")
    if scores is None:
        scores = ops.ones_like(size[..., 0])
    boxes = ops.concatenate([low + 0.5 * size, size], axis=-1)
    found = assign(config, (height, width), boxes, batch["labels"], batch["valid"], scores)
    return found, {"images": ops.cast(ops.shape(boxes)[0], "float32")}


def assign(config, canvas, boxes, labels, valid, scores):
    """Assigns every box to the prediction of its cell whose anchor has the most similar shape.

    If two boxes get the same prediction, the last one owns it.

    Args:
        config: `kdet.config.YOLOv3`.
        canvas: (h, w) of the image, multiples of 32.
        boxes: (B, M, 4) float32 center x, y, width, height as fractions of the image.
        labels, valid, scores: (B, M) int, bool, float32.
    Returns:
        {"boxes": (B, M, 4) xyxy fractions, "valid": (B, M), "labels": (B, M) int32, "scores":
        (B, M), "weight": (B, M) of the box terms, and for each level "P3", "P4", "P5": {"owner":
        (B, M) bool, "index": (B, M) int32 into the rows of `grid.split_predictions`, "offsets":
        (B, M, 4), "objectness": (B, N) weight of the box that owns the prediction, else 0}}.
    """
    center, size = boxes[..., :2], boxes[..., 2:]
    valid = ops.logical_and(valid, ops.all(size >= SMALLEST, axis=-1))
    size = ops.where(valid[..., None], size, 1.0)  # keeps the logarithms finite
    anchors = np.array(config.anchors, "float32") / np.array(canvas[::-1], "float32")
    shared = ops.prod(ops.minimum(size[..., None, :], anchors), axis=-1)
    overlap = shared / (ops.prod(size, axis=-1)[..., None] + anchors.prod(axis=1) - shared)
    best = ops.cast(ops.argmax(overlap, axis=-1), "int32")
    found = {
        "boxes": ops.concatenate([center - 0.5 * size, center + 0.5 * size], axis=-1),
        "valid": valid,
        "labels": ops.cast(labels, "int32"),
        "scores": scores,
        "weight": scores * (2.0 - ops.prod(size, axis=-1)),  # larger for small boxes
    }
    per_level = len(config.anchors) // len(grid.STRIDES)
    for number, level in enumerate(sorted(grid.STRIDES)):
        mine = ops.logical_and(valid, best // per_level == number)  # a box is on one level only
        cells = [-(-side // grid.STRIDES[level]) for side in canvas[::-1]]
        place = center * ops.convert_to_tensor(cells, dtype="float32")  # float64 may change cells
        cell = ops.clip(ops.floor(place), 0.0, np.array(cells, "float32") - 1.0)
        column, row = (ops.cast(cell[..., axis], "int32") for axis in (0, 1))
        index = (row * cells[0] + column) * per_level + best % per_level
        index = ops.where(mine, index, 0)
        owner = _last_owner(index, mine)
        shape = ops.take(ops.convert_to_tensor(anchors), best, axis=0)
        found[level] = {
            "owner": owner,
            "index": index,
            "offsets": ops.concatenate([place - cell, ops.log(size / shape)], axis=-1),
            "objectness": _scatter(
                index, ops.where(owner, scores, 0.0), cells[0] * cells[1] * per_level
            ),
        }
    return found


def _last_owner(index, mine):
    """`mine` (B, M) bool without the boxes whose index a later box has, too."""
    # in the reference, the gradient of the last box overwrites the others
    later = np.triu(np.ones((index.shape[1],) * 2, bool), 1)  # [i, j] is True if j is after i
    same = ops.logical_and(index[:, :, None] == index[:, None, :], mine[:, None, :])
    replaced = ops.any(ops.logical_and(same, later), axis=2)
    return ops.logical_and(mine, ops.logical_not(replaced))


def _scatter(index, values, length):
    """Zeros (B, length) with (B, M) values added at their indices."""
    batch = ops.shape(index)[0]
    start = ops.arange(batch, dtype="int32")[:, None] * length
    flat = ops.reshape(index + start, (-1, 1))
    dense = ops.scatter(flat, ops.reshape(values, (-1,)), (batch * length,))
    return ops.reshape(dense, (-1, length))


def losses(config, outputs, targets, normalizers):
    """{"box", "class", "objectness"}, sums over all levels divided by normalizers["images"]."""
    terms = [level_losses(config, outputs[level], targets, level) for level in sorted(outputs)]
    return {name: sum(ops.sum(t[name]) for t in terms) / normalizers["images"] for name in terms[0]}


def level_losses(config, outputs, targets, level):
    """The terms of one level, {"box", "class", "objectness"}: (B,) float32 each.

    Args:
        config: `kdet.config.YOLOv3`.
        outputs: (B, h, w, A * (5 + K)).
        targets: result of `assign`.
        level: "P3", "P4" or "P5".
    """
    outputs = ops.cast(outputs, "float32")
    anchors, mine = grid.level_anchors(config.anchors, level), targets[level]
    rows = grid.split_predictions(outputs, len(anchors))
    own = gather.batch_gather(rows, mine["index"])
    centers = _cross_entropy(own[..., :2], mine["offsets"][..., :2])
    sizes = ops.abs(own[..., 2:4] - mine["offsets"][..., 2:])  # L1 on raw logits, not squared
    smooth = min(1 / config.num_classes, 1 / 40) if config.label_smoothing else 0.0
    truth = ops.one_hot(targets["labels"], config.num_classes, dtype="float32")
    classes = _cross_entropy(own[..., 5:], truth * (1 - 2 * smooth) + smooth)
    box = targets["weight"] * (ops.sum(centers, axis=-1) + ops.sum(sizes, axis=-1))
    kind = targets["scores"] * ops.sum(classes, axis=-1)

    predicted = ops.stop_gradient(grid.decode_boxes(outputs, anchors, grid.STRIDES[level]))
    overlap = best_match(predicted, targets["boxes"], targets["valid"])[0]
    weight, objectness = mine["objectness"], rows[..., 4]
    # a prediction that overlaps a box well has no loss as background
    missed = ops.where(overlap > config.ignore_iou, 0.0, _cross_entropy(objectness, 0.0))
    object_ = ops.where(weight > 0, weight * _cross_entropy(objectness, 1.0), missed)
    return {
        "box": ops.sum(ops.where(mine["owner"], box, 0.0), axis=1),
        "class": ops.sum(ops.where(mine["owner"], kind, 0.0), axis=1),
        "objectness": ops.sum(object_, axis=1),
    }


def _cross_entropy(logits, target):
    return ops.softplus(logits) - logits * target
