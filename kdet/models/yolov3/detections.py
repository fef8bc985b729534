"""Decodes YOLOv3's outputs to detections (`yolo_box_op.h`, `multiclass_nms_op.cc`)."""

import keras
from keras import ops

from kdet.layers.base import Decoder
from kdet.models.yolov3 import grid
from kdet.ops import gather, nms


@keras.saving.register_keras_serializable("kdet")
class YOLODetections(Decoder):
    """Decodes boxes, drops low scores and applies NMS.

    Args:
        anchors: nine (width, height) in pixels, finest level first.
        score_threshold: scores must be above it, and objectness alone must not be below it.
        pre_nms_top_n_per_class: number of boxes per class that enter NMS.
        nms_iou: boxes of one class with a larger IoU are dropped.
        max_detections: N.
    Call it with outputs {"P3", "P4", "P5"} of the network; see `Decoder`.
    """

    RENAMED = {"pre_nms": "pre_nms_top_n_per_class"}
    SETTINGS = (
        "anchors",
        "score_threshold",
        "pre_nms_top_n_per_class",
        "nms_iou",
        "max_detections",
    )

    CANDIDATES = 4000  # limit of the boxes with class scores, and of (box, class) pairs for NMS

    def __init__(
        self,
        anchors,
        score_threshold=0.01,
        pre_nms_top_n_per_class=1000,
        nms_iou=0.45,
        max_detections=100,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.anchors = tuple(tuple(shape) for shape in anchors)
        self.score_threshold = score_threshold
        self.pre_nms_top_n_per_class = pre_nms_top_n_per_class
        self.nms_iou, self.max_detections = nms_iou, max_detections

    def call(self, outputs, image, resized_size, original_size):
        boxes, rows = [], []
        for level in sorted(outputs, reverse=True):  # the reference's order, coarsest level first
            anchors = grid.level_anchors(self.anchors, level)
            boxes.append(grid.decode_boxes(outputs[level], anchors, grid.STRIDES[level]))
            rows.append(grid.split_predictions(outputs[level], len(anchors)))
        boxes, rows = ops.concatenate(boxes, axis=1), ops.concatenate(rows, axis=1)
        objectness = ops.sigmoid(rows[..., 4])
        # sigmoid is monotonic, so the largest class logit gives the largest score
        best = objectness * ops.sigmoid(ops.max(rows[..., 5:], axis=-1))
        best = ops.where(objectness >= self.score_threshold, best, float("-inf"))
        value, index = gather.top_k(best, self.CANDIDATES)
        rows = gather.batch_gather(rows, index)
        scores = ops.sigmoid(rows[..., 4:5]) * ops.sigmoid(rows[..., 5:])
        scores = ops.where((value > float("-inf"))[..., None], scores, 0.0)
        boxes = self._scaled(gather.batch_gather(boxes, index), image, resized_size, original_size)
        return nms.multiclass_nms(
            boxes,
            scores,
            self.score_threshold,
            self.nms_iou,
            self.max_detections,
            self.pre_nms_top_n_per_class,
            self.CANDIDATES,
            min_overlap=1.0,
        )

    def _scaled(self, boxes, image, resized_size, original_size):
        """Boxes in original pixels. The reference clips inclusive corners, so 1 is added later."""
        canvas = ops.cast(ops.stack(ops.shape(image)[1:3]), "float32")
        size = (canvas[None] / resized_size * original_size)[:, None, ::-1]
        last = original_size[:, None, ::-1] - 1
        low = ops.maximum(boxes[..., :2] * size, 0.0)
        return ops.concatenate([low, ops.minimum(boxes[..., 2:] * size, last) + 1], axis=-1)


def detections(config):
    """The layer (outputs, image, resized_size, original_size) -> detections."""
    return YOLODetections(
        config.anchors,
        config.score_threshold,
        config.pre_nms_top_n_per_class,
        config.nms_iou,
        config.max_detections,
        name="detections",
    )
