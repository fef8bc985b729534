"""Losses of Faster, Mask and Cascade R-CNN (`rpn_target_assign_op.cc`, `bbox_head.py`).

Every term is a mean over the samples of an image, and then a mean over images. The size of a sample
is known only after a forward pass, so it cannot be summed over replicas before the division, but
the number of images can. The reference takes the mean over all samples of a device. The results are
equal if all images have full samples, and always with one image per device.
"""

from keras import ops

from kdet.ops import anchors as anchor_ops
from kdet.ops import boxes as box_ops
from kdet.ops import gather
from kdet.ops.boxes import smooth_l1
from kdet.ops.matching import BACKGROUND, best_match


def targets(config, batch):
    """Samples the anchors that train the region proposal network.

    Foreground anchors have an IoU of at least `rpn_foreground_iou`, or the best IoU of some box.
    Background anchors are below `rpn_background_iou`, and an anchor can be a candidate for both.
    Anchors that cross the border of the image are not used.

    Args:
        config: `kdet.config.RCNN`.
        batch: "image" (B, H, W, 3) for its size, "resized_size" (B, 2), "boxes" (B, M, 4) resized
            pixels, "labels" and "valid" (B, M), "sample_seed" (B,) int with random sampling.
    Returns:
        {"anchors": (B, S) int32 indices, "labels": (B, S) float32 0 or 1, "used": (B, S) bool,
        "deltas": (B, S, 4)}, foreground first; {"images": scalar float32}.
    """
    anchors = anchor_ops.rpn_pyramid(batch["image"].shape[1:3], config.neck, config.anchor_scale)
    inside = _inside(anchors, batch["resized_size"])
    # anchors outside get no size, so that they overlap no box
    usable = ops.where(inside[..., None], anchors[None], 0.0)
    overlap, match, closest = best_match(usable, batch["boxes"], batch["valid"])
    foreground = ops.logical_or(overlap >= config.rpn_foreground_iou, closest)
    foreground = ops.logical_and(inside, foreground)
    background = ops.logical_and(inside, overlap < config.rpn_background_iou)
    keys = (None, None)
    if config.sampling == "random":
        names = ("anchors", "background anchors")
        keys = [
            gather.stateless_uniform(batch["sample_seed"], anchors.shape[0], name) for name in names
        ]
    most = int(config.rpn_batch_size * config.rpn_positive_fraction)
    fg, fg_used = gather.subsample(foreground, most, keys[0])
    bg_count = config.rpn_batch_size - ops.sum(ops.cast(fg_used, "int32"), axis=1)
    bg, bg_used = gather.subsample(background, config.rpn_batch_size, keys[1], bg_count)
    # in the reference, an anchor that is sampled as both is background
    both = ops.logical_and(fg[:, :, None] == bg[:, None, :], bg_used[:, None, :])
    fg_used = ops.logical_and(fg_used, ops.logical_not(ops.any(both, axis=2)))
    box = gather.batch_gather(batch["boxes"], gather.batch_gather(match, fg))
    anchor = ops.take(anchors, fg, axis=0)
    # an unused entry encodes its own anchor, because padding boxes have no finite logarithm
    deltas = box_ops.encode(ops.where(fg_used[..., None], box, anchor), anchor)
    labels = ops.concatenate([ops.ones_like(fg), ops.zeros_like(bg)], axis=1)
    return {
        "anchors": ops.concatenate([fg, bg], axis=1),
        "labels": ops.cast(labels, "float32"),
        "used": ops.concatenate([fg_used, bg_used], axis=1),
        "deltas": ops.pad(deltas, [(0, 0), (0, bg.shape[1]), (0, 0)]),
    }, {"images": ops.cast(ops.shape(inside)[0], "float32")}


def losses(config, outputs, targets, normalizers):
    """Named loss terms.

    Args:
        config: `kdet.config.RCNN`.
        outputs: outputs of `kdet.models.rcnn.network.training_model`.
        targets, normalizers: results of `targets`, with normalizers summed over replicas.
    Returns:
        {"rpn_class", "rpn_box", "class", "box"[, "mask"]}. A cascade has the weighted terms
        "class_1" to "box_3" in place of "class" and "box".
    """
    terms = _proposal_terms(config, outputs["rpn"], targets)
    for number, (_, weight, _) in enumerate(config.stages, 1):
        suffix = f"_{number}" if config.cascade else ""
        for name, value in _region_terms(outputs["stages"][str(number)]).items():
            terms[name + suffix] = weight * value
    if config.mask:
        terms["mask"] = _mask_term(
            outputs["masks"], outputs["stages"]["1"]["labels"], outputs["mask_targets"]
        )
    return {name: ops.sum(value) / normalizers["images"] for name, value in terms.items()}


def _inside(anchors, size):
    """(B, A) bool, whether the whole anchor is inside h, w of its image."""
    height, width = size[:, :1], size[:, 1:]
    # x2 - 1 and y2 - 1 are the inclusive corners that the reference compares
    return ops.logical_and(
        ops.min(anchors[:, :2], axis=1)[None] >= 0,
        ops.logical_and(anchors[None, :, 2] - 1 < width, anchors[None, :, 3] - 1 < height),
    )


def _mean(values, used):
    """Mean over the used entries of every image, (B, ...) -> (B,); 0 if no entry is used."""
    axes = tuple(range(1, len(values.shape)))
    total = ops.sum(ops.where(used, values, 0.0), axis=axes)
    return total / ops.maximum(ops.sum(ops.cast(used, "float32"), axis=axes), 1.0)


def _proposal_terms(config, rpn, targets):
    levels = sorted(rpn["logits"])
    logits = ops.concatenate([rpn["logits"][level] for level in levels], axis=1)
    deltas = ops.concatenate([rpn["deltas"][level] for level in levels], axis=1)
    index, labels, used = targets["anchors"], targets["labels"], targets["used"]
    logits = ops.cast(gather.batch_gather(logits, index), "float32")
    difference = ops.cast(gather.batch_gather(deltas, index), "float32") - targets["deltas"]
    boxes = ops.sum(smooth_l1(difference, config.rpn_smooth_l1_sigma), axis=-1)
    return {
        "rpn_class": _mean(ops.softplus(logits) - labels * logits, used),
        "rpn_box": _mean(labels * boxes, used),  # background counts in the divisor, too
    }


def _region_terms(stage):
    """Terms of a box head. The reference divides both by all sampled RoIs, background included."""
    labels = ops.cast(stage["labels"], "int32")
    used = labels >= BACKGROUND
    logits = ops.log_softmax(ops.cast(stage["logits"], "float32"))
    own = ops.maximum(labels, BACKGROUND)[..., None] + 1  # background is -1 in labels, 0 in logits
    classes = -ops.take_along_axis(logits, own, axis=-1)[..., 0]
    kinds = stage["deltas"].shape[2]
    slot = ops.ones_like(own) if kinds == 2 else own
    deltas = ops.take_along_axis(stage["deltas"], slot[..., None], axis=2)[..., 0, :]
    difference = ops.cast(deltas, "float32") - stage["target"]
    boxes = ops.sum(smooth_l1(difference, 1.0), axis=-1)
    return {
        "class": _mean(classes, used),
        "box": _mean(ops.where(labels >= 0, boxes, 0.0), used),
    }


def _mask_term(logits, labels, masks):
    """Binary cross-entropy of the mask for the RoI's class, over the pixels of foreground RoIs."""
    labels = ops.cast(labels, "int32")[:, : ops.shape(logits)[1]]
    own = ops.maximum(labels, 0)[:, :, None, None, None] + 1
    logits = ops.take_along_axis(ops.cast(logits, "float32"), own, axis=-1)[..., 0]
    used = ops.broadcast_to((labels >= 0)[..., None, None], ops.shape(logits))
    return _mean(ops.softplus(logits) - masks * logits, used)
