"""YOLOv3's raw outputs -> detections (`yolo_box_op.h`, `multiclass_nms_op.cc`)."""

import keras
from keras import ops

from kdet.layers.decoder import Decoder
from kdet.ops import nms, select, yolo


@keras.saving.register_keras_serializable("kdet")
class YOLODetections(Decoder):
    """Decodes, thresholds and suppresses.

    Args:
        anchors: nine (width, height) in pixels, finest level first.
        score_threshold: scores, and objectness alone, must be above it.
        pre_nms: boxes kept per class.
        nms_iou: boxes of one class with a larger IoU are dropped.
        max_detections: N.
    Call with raw ({"P3", "P4", "P5"} of the network), image (B, H, W, 3), resized_size and
    original_size (B, 2) h, w. Returns {"boxes": (B, N, 4) float32 original pixels, "scores":
    (B, N) float32, "labels": (B, N) int32, "valid": (B, N) bool}, by falling score.
    """

    SETTINGS = ("anchors", "score_threshold", "pre_nms", "nms_iou", "max_detections")

    CANDIDATES = 4000  # boxes that are decoded class by class, (box, class) pairs that are ranked

    def __init__(
        self,
        anchors,
        score_threshold=0.01,
        pre_nms=1000,
        nms_iou=0.45,
        max_detections=100,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.anchors = tuple(tuple(shape) for shape in anchors)
        self.score_threshold, self.pre_nms = score_threshold, pre_nms
        self.nms_iou, self.max_detections = nms_iou, max_detections

    def call(self, raw, image, resized_size, original_size):
        boxes, rows = [], []
        for level in sorted(raw, reverse=True):
            anchors = yolo.anchors_of(self.anchors, level)
            boxes.append(yolo.decode(raw[level], anchors, yolo.STRIDES[level]))
            rows.append(yolo.split(raw[level], len(anchors)))
        boxes, rows = ops.concatenate(boxes, axis=1), ops.concatenate(rows, axis=1)
        objectness = ops.sigmoid(rows[..., 4])
        best = objectness * ops.sigmoid(ops.max(rows[..., 5:], axis=-1))
        best = ops.where(objectness >= self.score_threshold, best, float("-inf"))
        value, index = select.top(best, self.CANDIDATES)
        rows = select.rows(rows, index)
        scores = ops.sigmoid(rows[..., 4:5]) * ops.sigmoid(rows[..., 5:])
        scores = ops.where((value > float("-inf"))[..., None], scores, 0.0)
        boxes = self._scaled(select.rows(boxes, index), image, resized_size, original_size)
        return nms.multiclass(
            boxes,
            scores,
            self.score_threshold,
            self.nms_iou,
            self.max_detections,
            self.pre_nms,
            self.CANDIDATES,
            min_overlap=1.0,
        )

    def _scaled(self, boxes, image, resized_size, original_size):
        """Original pixels. The reference clips inclusive corners, so 1 is added after clipping."""
        canvas = ops.cast(ops.stack(ops.shape(image)[1:3]), "float32")
        size = (canvas[None] / resized_size * original_size)[:, None, ::-1]
        last = original_size[:, None, ::-1] - 1
        low = ops.maximum(boxes[..., :2] * size, 0.0)
        return ops.concatenate([low, ops.minimum(boxes[..., 2:] * size, last) + 1], axis=-1)
