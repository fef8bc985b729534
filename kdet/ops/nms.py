"""Exact greedy non-maximum suppression in static shapes, on any backend."""

from keras import ops

from kdet.ops import boxes as box_ops
from kdet.ops import gather, graphs, tf_kernels

QUICK = 5  # candidates per requested detection that are nearly always enough


def batched_nms(
    boxes,
    scores,
    valid,
    iou_threshold,
    keep,
    classes=None,
    min_overlap=0.0,
    block=256,
    ordered=False,
):
    """Greedy NMS: takes boxes by descending score and drops boxes that overlap a taken one.

    The sorted candidates are visited in blocks. First, the boxes taken so far suppress boxes of the
    block. Then `taken = not (S and taken)` is iterated inside the block until it stops changing,
    where S is the strictly lower triangular matrix "overlaps an earlier box". This is the greedy
    result. The loop ends when every image has `keep` boxes or no more candidates.

    Args:
        boxes: (B, N, 4) float32.
        scores: (B, N) float32.
        valid: (B, N) bool; False candidates are ignored.
        iou_threshold: boxes with a strictly larger IoU are dropped.
        keep: boxes kept per image.
        classes: (B, N) int32; only boxes of the same class suppress each other. None: one class.
        min_overlap: see `boxes.iou`.
        block: candidates per block.
        ordered: True if `scores` already descend along N, so that they need no sort.
    Returns:
        indices: (B, keep) int32 into N, by descending score; equal scores by ascending index.
        taken: (B, keep) bool; False where fewer than `keep` boxes remain.
    """
    if graphs.for_other_engines():
        return _of_one(boxes, scores, valid, iou_threshold, keep, classes)
    total = boxes.shape[1]
    block = min(block, total)
    rounds = -(-total // block)
    boxes, valid = _padded(boxes, rounds * block), _padded(valid, rounds * block)
    classes = None if classes is None else _padded(classes, rounds * block)
    if not ordered:
        order = _order(scores, valid[:, :total], rounds * block)
        boxes, valid = gather.batch_gather(boxes, order), gather.batch_gather(valid, order)
        classes = None if classes is None else gather.batch_gather(classes, order)

    settings = (iou_threshold, keep, min_overlap, block)
    tensors = (boxes, valid) if classes is None else (boxes, valid, classes)
    kept, taken = tf_kernels.xla_compiled(lambda *tensors: _walk(settings, *tensors), *tensors)
    # an unused index may be in the padding of the last block
    return ops.where(taken, kept if ordered else gather.batch_gather(order, kept), 0), taken


def _of_one(boxes, scores, valid, iou_threshold, keep, classes):
    """`batched_nms` for a batch of one image. Boxes of different classes are moved apart."""
    boxes, scores = boxes[0], ops.where(valid, scores, float("-inf"))[0]
    if classes is not None:
        apart = ops.max(boxes) - ops.min(boxes) + 1.0
        boxes = boxes + (ops.cast(classes[0], "float32") * apart)[:, None]
    index, used = tf_kernels.nms_of_one(boxes, scores, iou_threshold, keep)
    return index[None], (ops.arange(keep, dtype="int32") < used)[None]


def _walk(settings, boxes, valid, classes=None):
    """The loop of `batched_nms`: kept positions (B, keep) int32, and which of them are used."""
    iou_threshold, keep, min_overlap, block = settings
    batch, rounds = ops.shape(boxes)[0], boxes.shape[1] // block

    def overlaps(first, second):
        """Whether candidates `first` (B, n) and `second` (B, m) overlap: (B, n, m) bool."""
        overlap = (
            box_ops.iou(
                gather.batch_gather(boxes, first), gather.batch_gather(boxes, second), min_overlap
            )
            > iou_threshold
        )
        if classes is None:
            return overlap
        first, second = gather.batch_gather(classes, first), gather.batch_gather(classes, second)
        return ops.logical_and(overlap, first[:, :, None] == second[:, None, :])

    place = ops.arange(1, rounds * block + 1, dtype="int32")
    end = ops.max(ops.where(valid, place[None], 0))  # no valid candidate comes later

    def unfinished(step, kept, taken):
        full = ops.all(ops.sum(ops.cast(taken, "int32"), axis=1) >= keep)
        return ops.logical_and(step * block < end, ops.logical_not(full))

    def visit_block(step, kept, taken):
        here = step * block + ops.arange(block, dtype="int32")
        here = ops.broadcast_to(here[None], (batch, block))
        hit = _overlaps_taken(overlaps(here, kept), taken)
        alive = ops.logical_and(gather.batch_gather(valid, here), ops.logical_not(hit))
        alive = _greedy_fixpoint(overlaps(here, here), alive)
        return (step + 1, *_first(kept, taken, here, alive, keep))

    start = (
        ops.convert_to_tensor(0, dtype="int32"),
        ops.zeros((batch, keep), dtype="int32"),
        ops.zeros((batch, keep), dtype="bool"),
    )
    return ops.while_loop(unfinished, visit_block, start, maximum_iterations=rounds)[1:]


def multiclass_nms(
    boxes, scores, score_threshold, iou_threshold, keep, per_class, pairs=4000, min_overlap=0.0
):
    """Greedy NMS for each class separately, then the best detections of all classes.

    Only the `pairs` best (box, class) pairs are candidates. The result is exact if `keep` of them
    remain or if no other pair is above the threshold.

    Args:
        boxes: (B, N, 4) float32.
        scores: (B, N, C) float32.
        score_threshold: scores must be above it.
        iou_threshold, min_overlap: see `batched_nms`.
        keep: detections per image.
        per_class: number of boxes per class that enter NMS.
        pairs: number of candidates, see above; at most 10 * keep in graphs for other engines.
    Returns:
        {"boxes": (B, keep, 4), "scores": (B, keep), "labels": (B, keep) int32, "valid": (B, keep)
        bool}, by descending score, zeros where not valid.
    """
    quick = QUICK * keep
    if graphs.for_other_engines():  # they are slow at large sorts and at a second attempt
        pairs = min(pairs, 2 * quick)
    if scores.shape[1] is None or scores.shape[1] > pairs:
        # the boxes of the best pairs are among the boxes with the highest best-class scores
        most = pairs if scores.shape[1] else ops.minimum(pairs, ops.shape(scores)[1])
        _, index = ops.top_k(ops.max(scores, axis=-1), most)
        boxes, scores = gather.batch_gather(boxes, index), gather.batch_gather(scores, index)
    classes = scores.shape[2]
    flat = ops.reshape(scores, (-1, ops.shape(scores)[1] * classes))

    def attempt(count):
        """Detections from the `count` best pairs, and whether more pairs could change them."""
        scores, index = gather.top_k(flat, count)
        # what follows is many small operations
        return tf_kernels.xla_compiled(suppress, boxes, scores, index)

    def suppress(boxes, scores, index):
        boxes, labels = gather.batch_gather(boxes, index // classes), index % classes
        valid = ops.logical_and(scores > score_threshold, _rank(labels, classes) < per_class)
        options = {"min_overlap": min_overlap, "block": 64, "ordered": True}
        found = detections(boxes, scores, labels, valid, iou_threshold, keep, **options)
        short = ops.logical_not(ops.all(found["valid"], axis=1))
        more = ops.any(ops.logical_and(short, scores[:, -1] > score_threshold))
        return found, more

    if graphs.for_other_engines() or quick >= min(pairs, flat.shape[1] or pairs):
        return attempt(pairs)[0]
    found, more = attempt(quick)
    return ops.cond(more, lambda: attempt(pairs)[0], lambda: found)


def _rank(labels, classes):
    """Number of earlier entries of the same class. labels (B, N) -> (B, N) float32."""
    own = labels[:, None, :] == ops.arange(classes, dtype=labels.dtype)[None, :, None]
    own = ops.cast(own, "float32")
    # the sum runs along the last axis, which is the fastest
    return ops.sum(ops.cumsum(own, axis=2) * own, axis=1) - 1


def detections(boxes, scores, labels, valid, iou_threshold, keep, **options):
    """NMS of candidates of several classes, and the detections that remain.

    Args:
        boxes, scores, labels, valid: (B, N, 4), (B, N), (B, N), (B, N) candidates.
        iou_threshold, keep, **options: see `batched_nms`.
    Returns:
        {"boxes", "scores", "labels", "valid"} as `multiclass_nms` returns them. In a graph without
        NMS for other engines, they are the candidates.
    """
    if graphs.wants_candidates():
        index = ops.arange(boxes.shape[1], dtype="int32")[None]
        taken = valid
    else:
        index, taken = batched_nms(boxes, scores, valid, iou_threshold, keep, labels, **options)
    return {
        "boxes": ops.where(taken[..., None], gather.batch_gather(boxes, index), 0.0),
        "scores": ops.where(taken, gather.batch_gather(scores, index), 0.0),
        "labels": ops.where(taken, gather.batch_gather(labels, index), 0),
        "valid": taken,
    }


def _order(scores, valid, length):
    """Positions (B, length) int32 by descending score, invalid ones last. The sort is stable."""
    key = ops.where(valid, -ops.cast(scores, "float32"), float("inf"))
    order = ops.cast(ops.argsort(key, axis=1), "int32")
    padding = ops.arange(scores.shape[1], length, dtype="int32")[None]
    padding = ops.broadcast_to(padding, (ops.shape(order)[0], length - scores.shape[1]))
    return ops.concatenate([order, padding], axis=1)


def _padded(values, length):
    pad = [(0, 0), (0, length - values.shape[1])] + [(0, 0)] * (len(values.shape) - 2)
    return ops.pad(values, pad)


def _greedy_fixpoint(overlap, alive):
    """Greedy NMS inside one sorted block. overlap (B, n, n), alive (B, n) -> (B, n) bool."""
    size = overlap.shape[1]
    earlier = ops.arange(size)[None, :] < ops.arange(size)[:, None]
    overlap_earlier = ops.logical_and(overlap, earlier[None])

    def changing(previous, current):
        return ops.any(ops.not_equal(previous, current))

    def again(previous, current):
        suppressed = _overlaps_taken(overlap_earlier, current)
        return current, ops.logical_and(alive, ops.logical_not(suppressed))

    # each round makes at least one more entry final, because it depends only on earlier entries
    return ops.while_loop(changing, again, again(alive, alive), maximum_iterations=size)[1]


def _overlaps_taken(overlap, taken):
    """Whether any taken box overlaps: (B, n, m) bool, (B, m) bool -> (B, n) bool."""
    return ops.any(ops.logical_and(overlap, taken[:, None, :]), axis=2)


def _first(kept, taken, here, alive, keep):
    """The first `keep` used entries of the kept boxes followed by the boxes of this block."""
    indices = ops.concatenate([kept, here], axis=1)
    flags = ops.concatenate([taken, alive], axis=1)
    rank = ops.where(flags, ops.arange(flags.shape[1], 0, -1, dtype="int32")[None], 0)
    rank, position = ops.top_k(rank, keep)
    return gather.batch_gather(indices, position), rank > 0
