"""Which truth box an anchor answers for."""

from keras import ops

from kdet.ops import boxes as box_ops

BACKGROUND, IGNORED = -1, -2
TIE = 1e-5  # anchors this close to a box's best IoU share it


def best_match(anchors, truth, valid):
    """Best truth box of every anchor, and the anchors that are best for some box.

    Boxes are visited one by one, as many as the fullest image has: the (anchors, boxes) matrix of
    a full pyramid would be hundreds of megabytes, most of it for padding.

    Args:
        anchors: (A, 4) float32, or (B, A, 4) where every image has its own.
        truth: (B, M, 4) float32 boxes in the anchors' frame.
        valid: (B, M) bool; the True entries stand first.
    Returns:
        overlap: (B, A) float32 IoU with the best box, 0 in an image without boxes.
        index: (B, A) int32 of that box; the first one on ties.
        closest: (B, A) bool, within `TIE` of the best IoU that some box has with any anchor.
    """
    batch, count = ops.shape(truth)[0], anchors.shape[-2]
    boxes_used = ops.max(ops.sum(ops.cast(valid, "int32"), axis=1))
    anchors = ops.broadcast_to(anchors, (batch, count, 4))

    def more(step, overlap, index, closest):
        return step < boxes_used

    def visit(step, overlap, index, closest):
        box = ops.take(truth, step, axis=1)[:, None, :]
        used = ops.take(valid, step, axis=1)[:, None]
        value = ops.where(used, box_ops.iou(anchors, box)[..., 0], -1.0)
        best = ops.max(value, axis=1, keepdims=True)
        near = ops.logical_and(used, best - value < TIE)
        better = value > overlap
        return (
            step + 1,
            ops.where(better, value, overlap),
            ops.where(better, step, index),
            ops.logical_or(closest, near),
        )

    start = (
        ops.convert_to_tensor(0, dtype="int32"),
        ops.zeros((batch, count), dtype="float32"),
        ops.zeros((batch, count), dtype="int32"),
        ops.zeros((batch, count), dtype="bool"),
    )
    return ops.while_loop(more, visit, start, maximum_iterations=truth.shape[1])[1:]


def assign_greedily(overlap, valid, join_iou):
    """SSD's matching (`bipartite_match_op.cc`, "per_prediction").

    Pairs are taken by falling IoU, each anchor and each box once, until every box has an anchor;
    then every anchor left joins its best box if their IoU is at least `join_iou`.

    Args:
        overlap: (B, A, M) float32 IoU.
        valid: (B, M) bool, which boxes exist.
        join_iou: see above.
    Returns:
        (B, A) int32 index of the box, -1 for none. Equal IoUs: the first anchor, then the first
        box.
    """
    anchors, boxes = overlap.shape[1:]
    overlap = ops.where(valid[:, None, :], overlap, -1.0)
    rounds = ops.max(ops.sum(ops.cast(valid, "int32"), axis=1))

    def more(step, match, free):
        return step < rounds

    def take(step, match, free):
        open_pairs = ops.logical_and((match < 0)[:, :, None], free[:, None, :])
        value = ops.reshape(ops.where(open_pairs, overlap, -1.0), (-1, anchors * boxes))
        best = ops.cast(ops.argmax(value, axis=1), "int32")[:, None]
        found = ops.take_along_axis(value, best, axis=1) >= 1e-6
        anchor = ops.logical_and(ops.arange(anchors)[None] == best // boxes, found)
        box = ops.logical_and(ops.arange(boxes)[None] == best % boxes, found)
        match = ops.where(anchor, best % boxes, match)
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
