"""RetinaNet's matching and losses (`rpn_target_assign_op.cc`, `sigmoid_focal_loss_op.h`)."""

from keras import ops

from kdet.losses.common import focal_sum, smooth_l1
from kdet.ops import anchors as anchor_ops
from kdet.ops import boxes as box_ops
from kdet.ops.matching import BACKGROUND, IGNORED, best_match


def targets(config, batch):
    """Labels and deltas of every anchor.

    An anchor is foreground at IoU >= `foreground_iou` or when it is some box's best; below
    `background_iou` it is background even then (the reference lets the second rule win). The
    normaliser counts foreground before that, plus one per image.

    Args:
        config: `kdet.config.RetinaNet`.
        batch: "image" (B, H, W, 3) for its size, "boxes" (B, M, 4) resized pixels, "labels" (B, M),
            "valid" (B, M).
    Returns:
        {"labels": (B, A) int32 with -1 background and -2 ignored, "deltas": (B, A, 4) float32},
        {"foreground": scalar float32}.
    """
    anchors = anchor_ops.retina_pyramid(batch["image"].shape[1:3])
    overlap, index, closest = best_match(anchors, batch["boxes"], batch["valid"])
    foreground = ops.logical_or(overlap >= config.foreground_iou, closest)
    labels = ops.take_along_axis(ops.cast(batch["labels"], "int32"), index, axis=1)
    labels = ops.where(foreground, labels, IGNORED)
    labels = ops.where(overlap < config.background_iou, BACKGROUND, labels)
    boxes = ops.take_along_axis(batch["boxes"], index[..., None], axis=1)
    # a box of no size stands in where there is none to regress to, to keep the logarithm finite
    boxes = ops.where((labels >= 0)[..., None], boxes, anchors[None])
    count = ops.sum(ops.cast(foreground, "float32")) + ops.cast(ops.shape(labels)[0], "float32")
    return {"labels": labels, "deltas": box_ops.encode(boxes, anchors)}, {"foreground": count}


def losses(config, raw, targets, counts):
    """{"class": focal loss, "box": smooth L1 of foreground}, both over counts["foreground"]."""
    logits = ops.concatenate([raw["logits"][level] for level in sorted(raw["logits"])], axis=1)
    deltas = ops.concatenate([raw["deltas"][level] for level in sorted(raw["deltas"])], axis=1)
    labels = targets["labels"]
    classes = focal_sum(logits, labels, config.focal_alpha, config.focal_gamma)
    difference = ops.cast(deltas, "float32") - targets["deltas"]
    boxes = ops.sum(smooth_l1(difference, config.smooth_l1_sigma), axis=-1)
    boxes = ops.where(labels >= 0, boxes, 0.0)
    return {
        "class": ops.sum(classes) / counts["foreground"],
        "box": ops.sum(boxes) / counts["foreground"],
    }
