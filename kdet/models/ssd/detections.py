"""Decodes SSD's outputs to detections (`multiclass_nms_op.cc`)."""

import keras
from keras import ops

from kdet.layers.base import Decoder
from kdet.models.ssd.priors import VARIANCES
from kdet.ops import boxes as box_ops
from kdet.ops import nms, tf_kernels


@keras.saving.register_keras_serializable("kdet")
class SSDDetections(Decoder):
    """Decodes boxes, drops low scores and applies NMS. Boxes have no "+1" and are not clipped.

    Args:
        score_threshold: scores must be above it.
        pre_nms_top_n_per_class: number of boxes per class that enter NMS.
        nms_iou: boxes of one class with a larger IoU are dropped.
        max_detections: N.
    Call it with outputs {"logits", "deltas", "priors"} of the network; see `Decoder`.
    """

    RENAMED = {"pre_nms": "pre_nms_top_n_per_class"}
    SETTINGS = ("score_threshold", "pre_nms_top_n_per_class", "nms_iou", "max_detections")

    def __init__(
        self,
        score_threshold=0.01,
        pre_nms_top_n_per_class=400,
        nms_iou=0.45,
        max_detections=200,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.score_threshold = score_threshold
        self.pre_nms_top_n_per_class = pre_nms_top_n_per_class
        self.nms_iou, self.max_detections = nms_iou, max_detections

    def call(self, outputs, image, resized_size, original_size):
        boxes, scores = tf_kernels.xla_compiled(
            _decode, outputs["deltas"], outputs["logits"], outputs["priors"]
        )
        found = nms.multiclass_nms(
            boxes,
            scores,
            self.score_threshold,
            self.nms_iou,
            self.max_detections,
            self.pre_nms_top_n_per_class,
        )
        canvas = ops.cast(ops.stack(ops.shape(image)[1:3]), "float32")
        size = canvas[None] / resized_size * original_size
        # from fractions of the canvas to original pixels
        unit = ops.concatenate([size[:, ::-1], size[:, ::-1]], axis=1)
        return {**found, "boxes": found["boxes"] * unit[:, None]}


def _decode(deltas, logits, priors):
    boxes = box_ops.decode(deltas, priors[None], VARIANCES)
    return boxes, ops.softmax(logits, axis=-1)[..., 1:]  # class 0 is background


def detections(config):
    """The layer (outputs, image, resized_size, original_size) -> detections."""
    return SSDDetections(
        config.score_threshold,
        config.pre_nms_top_n_per_class,
        config.nms_iou,
        config.max_detections,
        name="detections",
    )
