"""The outputs of the network -> detections."""

import keras
from keras import ops

from kdet.layers import Decoder
from kdet.ops import boxes as box_ops
from kdet.ops import nms
from toy_family.network import STRIDE


@keras.saving.register_keras_serializable("kdet")
class CentreDetections(Decoder):
    """Makes boxes around the centres of the cells, drops low scores and applies NMS.

    Args:
        score_threshold: scores must be above it.
        nms_iou: boxes of one class with a larger IoU are dropped.
        max_detections: N.
    Call it with outputs {"logits", "sizes"} of the network; see `Decoder`.
    """

    SETTINGS = ("score_threshold", "nms_iou", "max_detections")

    def __init__(self, score_threshold=0.01, nms_iou=0.5, max_detections=20, **kwargs):
        super().__init__(**kwargs)
        self.score_threshold, self.nms_iou = score_threshold, nms_iou
        self.max_detections = max_detections

    def call(self, outputs, image, resized_size, original_size):
        logits, sizes = outputs["logits"], outputs["sizes"]
        batch, rows, columns = ops.shape(logits)[:3]
        y = (ops.arange(rows, dtype="float32") + 0.5) * STRIDE
        x = (ops.arange(columns, dtype="float32") + 0.5) * STRIDE
        centre = ops.stack(ops.meshgrid(x, y), axis=-1)
        half = 0.5 * STRIDE * ops.exp(ops.minimum(sizes, box_ops.MAX_LOG_RATIO))
        boxes = ops.concatenate([centre - half, centre + half], axis=-1)
        boxes = ops.reshape(boxes, (batch, rows * columns, 4))
        boxes = box_ops.rescale(boxes, original_size / resized_size)
        boxes = box_ops.upright(box_ops.clip(boxes, original_size))
        scores = ops.sigmoid(ops.reshape(logits, (batch, rows * columns, logits.shape[-1])))
        return nms.multiclass_nms(
            boxes, scores, self.score_threshold, self.nms_iou, self.max_detections, per_class=100
        )


def detections(config):
    """The layer (outputs, image, resized_size, original_size) -> detections."""
    return CentreDetections(
        config.score_threshold, config.nms_iou, config.max_detections, name="detections"
    )
