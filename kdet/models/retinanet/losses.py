"""RetinaNet's matching and losses (`rpn_target_assign_op.cc`, `sigmoid_focal_loss_op.h`)."""

from keras import ops

from kdet.ops import anchors as anchor_ops
from kdet.ops import boxes as box_ops
from kdet.ops.boxes import smooth_l1
from kdet.ops.matching import BACKGROUND, IGNORED, best_match


def targets(config, batch):
    """Labels and deltas of every anchor.

    An anchor is foreground if its IoU is at least `foreground_iou`, or if it is the best anchor of
    some box. An anchor below `background_iou` is background, even if it is the best one.

    Args:
        config: `kdet.config.RetinaNet`.
        batch: "image" (B, H, W, 3) for its size, "boxes" (B, M, 4) resized pixels, "labels" (B, M),
            "valid" (B, M).
    Returns:
        {"labels": (B, A) int32 with -1 background and -2 ignored, "deltas": (B, A, 4) float32},
        {"foreground": scalar float32}, the number of foreground anchors plus one per image.
    """
    anchors = anchor_ops.retina_pyramid(batch["image"].shape[1:3], config.anchor_scale)
    overlap, index, closest = best_match(anchors, batch["boxes"], batch["valid"])
    foreground = ops.logical_or(overlap >= config.foreground_iou, closest)
    labels = ops.take_along_axis(ops.cast(batch["labels"], "int32"), index, axis=1)
    labels = ops.where(foreground, labels, IGNORED)
    # the reference applies this rule last, so it overrides a best match
    labels = ops.where(overlap < config.background_iou, BACKGROUND, labels)
    boxes = ops.take_along_axis(batch["boxes"], index[..., None], axis=1)
    # an anchor without a box encodes itself, because a padding box has no finite logarithm
    boxes = ops.where((labels >= 0)[..., None], boxes, anchors[None])
    # the reference counts foreground before the background rule
    count = ops.sum(ops.cast(foreground, "float32")) + ops.cast(ops.shape(labels)[0], "float32")
    return {"labels": labels, "deltas": box_ops.encode(boxes, anchors)}, {"foreground": count}


def losses(config, outputs, targets, normalizers):
    """{"class": focal loss, "box": smooth L1}, both divided by normalizers["foreground"].

    Args:
        config: `kdet.config.RetinaNet`.
        outputs: outputs of the network.
        targets, normalizers: results of `targets`, with normalizers summed over replicas.
    """
    levels = sorted(outputs["logits"])
    logits = ops.concatenate([outputs["logits"][level] for level in levels], axis=1)
    deltas = ops.concatenate([outputs["deltas"][level] for level in levels], axis=1)
    labels = targets["labels"]
    classes = focal_loss(logits, labels, config.focal_alpha, config.focal_gamma)
    difference = ops.cast(deltas, "float32") - targets["deltas"]
    boxes = ops.sum(smooth_l1(difference, config.smooth_l1_sigma), axis=-1)
    boxes = ops.where(labels >= 0, boxes, 0.0)
    return {
        "class": ops.sum(classes) / normalizers["foreground"],
        "box": ops.sum(boxes) / normalizers["foreground"],
    }


def focal_loss(logits, labels, alpha, gamma):
    """Sigmoid focal loss (Lin et al. 2017) of every row, summed over classes.

    Args:
        logits: (..., K).
        labels: (...) int32; 0..K-1, -1 background (all classes negative), below -1 ignored.
        alpha: weight of positives; negatives weigh 1 - alpha.
        gamma: exponent that reduces the loss of easy examples.
    Returns:
        (...) float32.
    """
    logits = ops.cast(logits, "float32")
    negatives = ops.sum(_negative_loss(logits, alpha, gamma), axis=-1)
    # at most one class per row is positive, so correcting that one saves a pass over K values
    own = ops.maximum(labels, 0)
    x = ops.take_along_axis(logits, own[..., None], axis=-1)[..., 0]
    positive = alpha * (1 - ops.sigmoid(x)) ** gamma * ops.softplus(-x)
    correction = ops.where(labels >= 0, positive - _negative_loss(x, alpha, gamma), 0.0)
    return ops.where(labels >= -1, negatives + correction, 0.0)


def _negative_loss(x, alpha, gamma):
    return (1 - alpha) * ops.sigmoid(x) ** gamma * ops.softplus(x)
