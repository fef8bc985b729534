"""Matching of anchors with ground-truth boxes."""

from keras import ops

from kdet.ops import boxes as box_ops

BACKGROUND, IGNORED = -1, -2
TIE = 1e-5  # IoUs that differ by less are equal, as in `rpn_target_assign_op.cc`


def best_match(anchors, truth, valid):
    """The best ground-truth box of every anchor, and the anchors that are best for some box.

    The loop visits one box of every image at a time, up to the largest number of boxes. The matrix
    (anchors, boxes) of a full pyramid would take hundreds of megabytes, mostly for padding.

    Args:
        anchors: (A, 4) float32, or (B, A, 4) if every image has its own anchors.
        truth: (B, M, 4) float32 boxes in the coordinates of the anchors.
        valid: (B, M) bool; the True entries come first.
    Returns:
        overlap: (B, A) float32 IoU with the best box, 0 in an image without boxes.
        index: (B, A) int32 index of that box, the first one on ties.
        closest: (B, A) bool, whether the IoU with some box is within `TIE` of that box's best IoU.
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
        # a box that overlaps no anchor (best is 0) makes all anchors closest, as in the reference
        is_closest = ops.logical_and(used, best - value < TIE)
        better = value > overlap
        return (
            step + 1,
            ops.where(better, value, overlap),
            ops.where(better, step, index),
            ops.logical_or(closest, is_closest),
        )

    start = (
        ops.convert_to_tensor(0, dtype="int32"),
        ops.zeros((batch, count), dtype="float32"),
        ops.zeros((batch, count), dtype="int32"),
        ops.zeros((batch, count), dtype="bool"),
    )
    return ops.while_loop(more, visit, start, maximum_iterations=truth.shape[1])[1:]
