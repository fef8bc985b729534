"""RetinaNet's raw outputs -> detections (`retinanet_detection_output_op.cc`)."""

import keras
from keras import ops

from kdet.layers.decoder import Decoder
from kdet.ops import boxes as box_ops
from kdet.ops import nms, select


@keras.saving.register_keras_serializable("kdet")
class RetinaDetections(Decoder):
    """Decodes, thresholds and suppresses.

    Args:
        score_threshold: scores must be above it; the coarsest level keeps everything above 0.
        pre_nms: (anchor, class) pairs kept per level.
        nms_iou: boxes of one class with a larger IoU are dropped.
        max_detections: N.
        clip_to: "canvas": boxes may reach into the padding, as the reference's | "image".
    Call with raw ({"logits", "deltas", "anchors"} of the network), image (B, H, W, 3), resized_size
    and original_size (B, 2) h, w. Returns {"boxes": (B, N, 4) float32 original pixels, "scores":
    (B, N) float32, "labels": (B, N) int32, "valid": (B, N) bool}, by falling score.
    """

    SETTINGS = ("score_threshold", "pre_nms", "nms_iou", "max_detections", "clip_to")

    def __init__(
        self,
        score_threshold=0.05,
        pre_nms=1000,
        nms_iou=0.5,
        max_detections=100,
        clip_to="canvas",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.score_threshold, self.pre_nms = score_threshold, pre_nms
        self.nms_iou, self.max_detections, self.clip_to = nms_iou, max_detections, clip_to

    def call(self, raw, image, resized_size, original_size):
        levels = sorted(raw["logits"])
        parts = []
        for level in levels:
            threshold = 0.0 if level == levels[-1] else self.score_threshold
            parts.append(
                _best_pairs(
                    raw["logits"][level],
                    raw["deltas"][level],
                    raw["anchors"][level],
                    self.pre_nms,
                    threshold,
                )
            )
        boxes, scores, labels, valid = (ops.concatenate(part, axis=1) for part in zip(*parts))
        scale = original_size / resized_size
        limit = original_size
        if self.clip_to == "canvas":
            canvas = ops.cast(ops.stack(ops.shape(image)[1:3]), "float32")
            limit = ops.round(canvas[None] * scale)
        boxes = box_ops.upright(box_ops.clip(box_ops.rescale(boxes, scale), limit))
        index, taken = nms.suppress(
            boxes, scores, valid, self.nms_iou, self.max_detections, labels, min_overlap=1.0
        )
        return nms.survivors(boxes, scores, labels, index, taken)


def _best_pairs(logits, deltas, anchors, count, threshold):
    """The `count` best (anchor, class) pairs of one level, decoded.

    The anchors of the best pairs are among the best `count` anchors by their best class, so only
    those are ranked by pair: sorting all pairs of a full level is what makes this step slow.

    Returns:
        boxes (B, n, 4) resized pixels, scores (B, n), labels (B, n) int32, valid (B, n) bool.
    """
    logits = ops.cast(logits, "float32")
    classes = logits.shape[-1]
    _, rows = select.top(ops.max(logits, axis=-1), count)
    logits = select.rows(logits, rows)
    value, pair = select.top(ops.reshape(logits, (ops.shape(logits)[0], -1)), count)
    row, label = pair // classes, pair % classes
    anchor = select.rows(rows, row)
    boxes = box_ops.decode(select.rows(deltas, anchor), ops.take(anchors, anchor, axis=0))
    scores = ops.sigmoid(value)
    return boxes, scores, label, scores > threshold
