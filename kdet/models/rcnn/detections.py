"""Decodes the outputs of R-CNNs to detections."""

import keras
from keras import ops

from kdet.layers.base import ConfiguredLayer, Decoder
from kdet.ops import boxes as box_ops
from kdet.ops import gather, nms


@keras.saving.register_keras_serializable("kdet", name="RegionDetections")
class BoxDetections(Decoder):
    """Decodes boxes, drops low scores and applies NMS (`bbox_head.py`, `multiclass_nms_op.cc`).

    A score is the mean probability over the outputs "votes". Boxes come from the last stage.

    Args:
        variances: divisors of the last stage's deltas.
        score_threshold: scores must be above it.
        pre_nms_top_n: number of (RoI, class) pairs that enter NMS. The result is exact if no other
            pair passes the threshold, or if these pairs give `max_detections` boxes.
        nms_iou: boxes of one class with a larger IoU are dropped.
        max_detections: N.
    Call it with outputs of the network; see `Decoder`.
    """

    RENAMED = {"pre_nms": "pre_nms_top_n"}
    SETTINGS = ("variances", "score_threshold", "pre_nms_top_n", "nms_iou", "max_detections")

    def __init__(
        self,
        variances,
        score_threshold=0.05,
        pre_nms_top_n=5000,
        nms_iou=0.5,
        max_detections=100,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.variances, self.score_threshold = tuple(variances), score_threshold
        self.pre_nms_top_n, self.nms_iou, self.max_detections = (
            pre_nms_top_n,
            nms_iou,
            max_detections,
        )

    def call(self, outputs, image, resized_size, original_size):
        last = outputs["stages"][max(outputs["stages"])]
        votes = [ops.softmax(ops.cast(vote, "float32")) for vote in outputs["votes"].values()]
        scores = (sum(votes) / len(votes))[..., 1:]  # class 0 is background
        regions, classes = scores.shape[1:]
        scores = ops.where(outputs["valid"][..., None], scores, float("-inf"))
        scores, pair = gather.top_k(
            ops.reshape(scores, (-1, regions * classes)), self.pre_nms_top_n
        )
        region, label = pair // classes, pair % classes
        kinds = last["deltas"].shape[2]  # 2 in a cascade: background and foreground
        own = region * kinds + (1 if kinds == 2 else label + 1)
        deltas = gather.batch_gather(ops.reshape(last["deltas"], (-1, regions * kinds, 4)), own)
        # the reference decodes in original pixels
        boxes = box_ops.rescale(
            gather.batch_gather(last["rois"], region), original_size / resized_size
        )
        boxes = box_ops.clip(box_ops.decode(deltas, boxes, self.variances), original_size)
        valid = scores > self.score_threshold
        settings = (self.nms_iou, self.max_detections)
        return nms.detections(boxes, scores, label, valid, *settings, min_overlap=1.0, ordered=True)


@keras.saving.register_keras_serializable("kdet", name="MaskRegions")
class RescaleBoxes(ConfiguredLayer):
    """(boxes (B, N, 4) original pixels, resized_size, original_size) -> boxes in resized pixels.

    These boxes are the RoIs of the mask head.
    """

    FLOAT32 = True

    def call(self, boxes, resized_size, original_size):
        return box_ops.rescale(boxes, resized_size / original_size)

    def compute_output_shape(self, boxes_shape, resized_size_shape, original_size_shape):
        return boxes_shape


@keras.saving.register_keras_serializable("kdet")
class MaskDetections(ConfiguredLayer):
    """Adds "masks" (B, N, M, M) float32, the probabilities for the class of each detection.

    Call it like `BoxDetections`, with outputs "detections" and "masks" (B, N, M, M, K + 1) logits.
    """

    FLOAT32 = True

    def call(self, outputs, image, resized_size, original_size):
        found, logits = outputs["detections"], ops.cast(outputs["masks"], "float32")
        own = found["labels"][:, :, None, None, None] + 1  # class 0 is background
        masks = ops.sigmoid(ops.take_along_axis(logits, own, axis=-1)[..., 0])
        return {**found, "masks": ops.where(found["valid"][..., None, None], masks, 0.0)}

    def compute_output_spec(self, outputs, image, resized_size, original_size):
        found = {n: keras.KerasTensor(x.shape, x.dtype) for n, x in outputs["detections"].items()}
        return {**found, "masks": keras.KerasTensor(outputs["masks"].shape[:-1], "float32")}


def detections(config):
    """The layer (outputs, image, resized_size, original_size) -> detections."""
    return MaskDetections(name="mask_detections") if config.mask else box_detections(config)


def box_detections(config):
    """The layer for boxes alone; see `detections`."""
    return BoxDetections(
        config.stages[-1].variances,
        config.score_threshold,
        config.pre_nms_top_n,
        config.nms_iou,
        config.max_detections,
        name="detections",
    )
