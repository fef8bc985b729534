"""SSD's raw outputs -> detections (`multiclass_nms_op.cc`)."""

import keras
from keras import ops

from kdet import native
from kdet.layers.decoder import Decoder
from kdet.ops import boxes as box_ops
from kdet.ops import nms, ssd


@keras.saving.register_keras_serializable("kdet")
class SSDDetections(Decoder):
    """Decodes, thresholds and suppresses; boxes are edges and may leave the image.

    Args:
        score_threshold: scores must be above it.
        pre_nms: boxes kept per class.
        nms_iou: boxes of one class with a larger IoU are dropped.
        max_detections: N.
    Call with raw ({"logits", "deltas", "priors"} of the network), image (B, H, W, 3), resized_size
    and original_size (B, 2) h, w. Returns {"boxes": (B, N, 4) float32 original pixels, "scores":
    (B, N) float32, "labels": (B, N) int32, "valid": (B, N) bool}, by falling score.
    """

    SETTINGS = ("score_threshold", "pre_nms", "nms_iou", "max_detections")

    def __init__(
        self, score_threshold=0.01, pre_nms=400, nms_iou=0.45, max_detections=200, **kwargs
    ):
        super().__init__(**kwargs)
        self.score_threshold, self.pre_nms = score_threshold, pre_nms
        self.nms_iou, self.max_detections = nms_iou, max_detections

    def call(self, raw, image, resized_size, original_size):
        boxes, scores = native.island(_decode, raw["deltas"], raw["logits"], raw["priors"])
        found = nms.multiclass(
            boxes, scores, self.score_threshold, self.nms_iou, self.max_detections, self.pre_nms
        )
        canvas = ops.cast(ops.stack(ops.shape(image)[1:3]), "float32")
        size = canvas[None] / resized_size * original_size
        unit = ops.concatenate([size[:, ::-1], size[:, ::-1]], axis=1)
        return {**found, "boxes": found["boxes"] * unit[:, None]}


def _decode(deltas, logits, priors):
    boxes = box_ops.decode(deltas, priors[None], ssd.VARIANCES)
    return boxes, ops.softmax(logits, axis=-1)[..., 1:]
