"""Decodes RetinaNet's outputs to detections (`retinanet_detection_output_op.cc`)."""

import keras
from keras import ops

from kdet.layers.base import Decoder
from kdet.ops import boxes as box_ops
from kdet.ops import gather, nms


@keras.saving.register_keras_serializable("kdet")
class RetinaDetections(Decoder):
    """Decodes boxes, drops low scores and applies NMS.

    Args:
        score_threshold: scores must be above it. On the coarsest level, scores must be above 0.
        pre_nms_top_n_per_level: number of (anchor, class) pairs per level that enter NMS.
        nms_iou: boxes of one class with a larger IoU are dropped.
        max_detections: N.
        clip_to: "canvas": boxes may extend into the padding, as in the reference | "image".
    Call it with outputs {"logits", "deltas", "anchors"} of the network; see `Decoder`.
    """

    RENAMED = {"pre_nms": "pre_nms_top_n_per_level"}
    SETTINGS = (
        "score_threshold",
        "pre_nms_top_n_per_level",
        "nms_iou",
        "max_detections",
        "clip_to",
    )

    def __init__(
        self,
        score_threshold=0.05,
        pre_nms_top_n_per_level=1000,
        nms_iou=0.5,
        max_detections=100,
        clip_to="canvas",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.score_threshold, self.pre_nms_top_n_per_level = (
            score_threshold,
            pre_nms_top_n_per_level,
        )
        self.nms_iou, self.max_detections, self.clip_to = nms_iou, max_detections, clip_to

    def call(self, outputs, image, resized_size, original_size):
        levels = sorted(outputs["logits"])
        parts = []
        for level in levels:
            # the reference keeps every positive score of P7
            threshold = 0.0 if level == levels[-1] else self.score_threshold
            parts.append(
                _best_pairs(
                    outputs["logits"][level],
                    outputs["deltas"][level],
                    outputs["anchors"][level],
                    self.pre_nms_top_n_per_level,
                    threshold,
                )
            )
        boxes, scores, labels, valid = (ops.concatenate(part, axis=1) for part in zip(*parts))
        scale = original_size / resized_size
        limit = original_size
        if self.clip_to == "canvas":
            canvas = ops.cast(ops.stack(ops.shape(image)[1:3]), "float32")
            limit = ops.round(canvas[None] * scale)  # the reference rounds the padded size
        boxes = box_ops.upright(box_ops.clip(box_ops.rescale(boxes, scale), limit))
        candidates = boxes, scores, labels, valid
        return nms.detections(*candidates, self.nms_iou, self.max_detections, min_overlap=1.0)


def _best_pairs(logits, deltas, anchors, count, threshold):
    """The `count` best (anchor, class) pairs of one level, decoded.

    The anchors of the best pairs are among the `count` anchors with the highest best-class logits.
    Only their pairs are sorted, because sorting all pairs of a large level is slow.

    Returns:
        boxes (B, n, 4) resized pixels, scores (B, n), labels (B, n) int32, valid (B, n) bool.
    """
    logits = ops.cast(logits, "float32")
    classes = logits.shape[-1]
    best, rows = gather.top_k(ops.max(logits, axis=-1), count)
    # where a level of unknown size has fewer anchors, the rest are copies of the first one
    found = (best > float("-inf"))[..., None]
    logits = ops.where(found, gather.batch_gather(logits, rows), float("-inf"))
    value, pair = gather.top_k(ops.reshape(logits, (ops.shape(logits)[0], -1)), count)
    row, label = pair // classes, pair % classes
    anchor = gather.batch_gather(rows, row)
    boxes = box_ops.decode(gather.batch_gather(deltas, anchor), ops.take(anchors, anchor, axis=0))
    scores = ops.sigmoid(value)  # that of -inf is 0
    return boxes, scores, label, scores > threshold


def detections(config):
    """The layer (outputs, image, resized_size, original_size) -> detections."""
    return RetinaDetections(
        config.score_threshold,
        config.pre_nms_top_n_per_level,
        config.nms_iou,
        config.max_detections,
        config.clip_to,
        name="detections",
    )
