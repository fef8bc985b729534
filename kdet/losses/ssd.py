"""SSD's matching, mining and losses (`layers/detection.py: ssd_loss` of the reference)."""

from keras import ops

from kdet.losses.common import smooth_l1
from kdet.ops import boxes as box_ops
from kdet.ops import ssd
from kdet.ops.matching import BACKGROUND, assign_greedily


def targets(config, batch):
    """Labels and deltas of every prior.

    Each truth box gets one prior of its own, the pairs taken by falling IoU; then every prior left
    joins the box it overlaps most if that is at least `foreground_iou`.

    Args:
        config: `kdet.config.SSD`.
        batch: "image" (B, H, W, 3) for its size, "boxes" (B, M, 4) pixels of that image, edges,
            "labels" (B, M), "valid" (B, M).
    Returns:
        {"labels": (B, P) int32 with -1 background, "deltas": (B, P, 4) float32},
        {"foreground": scalar float32}.
    """
    height, width = batch["image"].shape[1:3]
    priors = ssd.priors(ssd.map_sizes((height, width)), (height, width), config.prior_sizes)
    truth = ops.cast(batch["boxes"], "float32")
    truth = truth / ops.convert_to_tensor([width, height, width, height], dtype="float32")
    match = assign_greedily(box_ops.iou(priors[None], truth), batch["valid"], config.foreground_iou)
    index = ops.maximum(match, 0)
    labels = ops.take_along_axis(ops.cast(batch["labels"], "int32"), index, axis=1)
    boxes = ops.take_along_axis(truth, index[..., None], axis=1)
    foreground = match >= 0
    # a prior stands in where there is no box to regress to, to keep the logarithm finite
    boxes = ops.where(foreground[..., None], boxes, priors[None])
    found = {
        "labels": ops.where(foreground, labels, BACKGROUND),
        "deltas": box_ops.encode(boxes, priors, ssd.VARIANCES),
    }
    return found, {"foreground": ops.sum(ops.cast(foreground, "float32"))}


def losses(config, raw, targets, counts):
    """{"class": cross entropy, "box": smooth L1}, both over counts["foreground"].

    Of the background only the hardest priors count, `negatives` per foreground prior of the image.
    """
    logits, labels = ops.cast(raw["logits"], "float32"), targets["labels"]
    own = ops.take_along_axis(logits, labels[..., None] + 1, axis=2)[..., 0]
    entropy = ops.logsumexp(logits, axis=-1) - own
    foreground = labels >= 0
    used = ops.logical_or(foreground, _hardest(entropy, foreground, config.negatives))
    difference = ops.cast(raw["deltas"], "float32") - targets["deltas"]
    boxes = ops.where(foreground, ops.sum(smooth_l1(difference, 1.0), axis=-1), 0.0)
    count = ops.maximum(counts["foreground"], 1.0)
    return {
        "class": ops.sum(ops.where(used, entropy, 0.0)) / count,
        "box": ops.sum(boxes) / count,
    }


def _hardest(entropy, foreground, per_foreground):
    """(B, P) bool: the background priors of largest loss, so many per foreground prior."""
    hardness = ops.where(foreground, float("-inf"), ops.stop_gradient(entropy))
    order = ops.argsort(-hardness, axis=1)
    rank = ops.argsort(order, axis=1)
    count = ops.sum(ops.cast(foreground, "float32"), axis=1, keepdims=True) * per_foreground
    return ops.logical_and(rank < ops.cast(count, rank.dtype), ops.logical_not(foreground))
