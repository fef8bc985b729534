"""SSD's matching, mining and losses (`layers/detection.py: ssd_loss` of the reference)."""

from keras import ops

from kdet.models.ssd.priors import VARIANCES, map_sizes, prior_boxes
from kdet.ops import boxes as box_ops
from kdet.ops.boxes import smooth_l1
from kdet.ops.matching import BACKGROUND


def targets(config, batch):
    """Labels and deltas of every prior.

    Each ground-truth box gets one prior, in pairs of descending IoU. Every other prior gets the box
    with the highest IoU if that is at least `foreground_iou`.

    Args:
        config: `kdet.config.SSD`.
        batch: "image" (B, H, W, 3) for its size, "boxes" (B, M, 4) in pixels of that image, with
            x2 and y2 as edges, "labels" (B, M), "valid" (B, M).
    Returns:
        {"labels": (B, P) int32 with -1 background, "deltas": (B, P, 4) float32},
        {"foreground": scalar float32}.
    """
    height, width = batch["image"].shape[1:3]
    priors = prior_boxes(map_sizes((height, width)), (height, width), config.prior_sizes)
    truth = ops.cast(batch["boxes"], "float32")
    truth = truth / ops.convert_to_tensor([width, height, width, height], dtype="float32")
    match = bipartite_match(box_ops.iou(priors[None], truth), batch["valid"], config.foreground_iou)
    index = ops.maximum(match, 0)
    labels = ops.take_along_axis(ops.cast(batch["labels"], "int32"), index, axis=1)
    boxes = ops.take_along_axis(truth, index[..., None], axis=1)
    foreground = match >= 0
    # a prior without a box encodes itself, because a padding box has no finite logarithm
    boxes = ops.where(foreground[..., None], boxes, priors[None])
    found = {
        "labels": ops.where(foreground, labels, BACKGROUND),
        "deltas": box_ops.encode(boxes, priors, VARIANCES),
    }
    return found, {"foreground": ops.sum(ops.cast(foreground, "float32"))}


def losses(config, outputs, targets, normalizers):
    """{"class": cross entropy, "box": smooth L1}, both divided by normalizers["foreground"].

    Only the hardest background priors count. Their number is `negatives_per_positive` times the
    number of foreground priors of the image.

    Args:
        config: `kdet.config.SSD`.
        outputs: outputs of the network.
        targets, normalizers: results of `targets`, with normalizers summed over replicas.
    """
    logits, labels = ops.cast(outputs["logits"], "float32"), targets["labels"]
    # background is -1 in labels and 0 in logits
    own = ops.take_along_axis(logits, labels[..., None] + 1, axis=2)[..., 0]
    entropy = ops.logsumexp(logits, axis=-1) - own
    foreground = labels >= 0
    used = ops.logical_or(foreground, _hardest(entropy, foreground, config.negatives_per_positive))
    difference = ops.cast(outputs["deltas"], "float32") - targets["deltas"]
    boxes = ops.where(foreground, ops.sum(smooth_l1(difference, 1.0), axis=-1), 0.0)
    count = ops.maximum(normalizers["foreground"], 1.0)
    return {
        "class": ops.sum(ops.where(used, entropy, 0.0)) / count,
        "box": ops.sum(boxes) / count,
    }


def _hardest(entropy, foreground, per_foreground):
    """(B, P) bool, the background priors of largest loss, `per_foreground` per foreground prior."""
    hardness = ops.where(foreground, float("-inf"), ops.stop_gradient(entropy))
    order = ops.argsort(-hardness, axis=1)
    rank = ops.argsort(order, axis=1)  # sorting the order gives the rank of each prior
    count = ops.sum(ops.cast(foreground, "float32"), axis=1, keepdims=True) * per_foreground
    return ops.logical_and(rank < ops.cast(count, rank.dtype), ops.logical_not(foreground))


def bipartite_match(overlap, valid, join_iou):
    """Matches every box with one prior, then other priors with boxes (`bipartite_match_op.cc`).

    Pairs are chosen by descending IoU, with each prior and each box at most once, until every box
    has a prior. Every other prior then gets its best box if their IoU is at least `join_iou`.

    Args:
        overlap: (B, A, M) float32 IoU.
        valid: (B, M) bool, which boxes exist.
        join_iou: see above.
    Returns:
        (B, A) int32 index of the box, -1 for none. Among equal IoUs, the first prior is chosen, and
        then the first box.
    """
    priors, boxes = overlap.shape[1:]
    overlap = ops.where(valid[:, None, :], overlap, -1.0)
    rounds = ops.max(ops.sum(ops.cast(valid, "int32"), axis=1))

    def more(step, match, free):
        return step < rounds

    def take(step, match, free):
        open_pairs = ops.logical_and((match < 0)[:, :, None], free[:, None, :])
        value = ops.reshape(ops.where(open_pairs, overlap, -1.0), (-1, priors * boxes))
        best = ops.cast(ops.argmax(value, axis=1), "int32")[:, None]
        found = ops.take_along_axis(value, best, axis=1) >= 1e-6  # the reference's lower limit
        prior = ops.logical_and(ops.arange(priors)[None] == best // boxes, found)
        box = ops.logical_and(ops.arange(boxes)[None] == best % boxes, found)
        match = ops.where(prior, best % boxes, match)
        return step + 1, match, ops.logical_and(free, ops.logical_not(box))

    start = (
        ops.convert_to_tensor(0, dtype="int32"),
        ops.full_like(overlap[:, :, 0], -1, dtype="int32"),
        ops.ones_like(overlap[:, 0, :], dtype="bool"),
    )
    match = ops.while_loop(more, take, start, maximum_iterations=boxes)[1]
    best = ops.cast(ops.argmax(overlap, axis=2), "int32")
    joins = ops.logical_and(match < 0, ops.max(overlap, axis=2) >= join_iou)
    return ops.where(joins, best, match)
