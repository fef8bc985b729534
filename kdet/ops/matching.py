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
