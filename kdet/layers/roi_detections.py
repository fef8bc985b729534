"""Raw outputs of R-CNNs -> detections."""

import keras
from keras import ops

from kdet.layers.decoder import Decoder
from kdet.ops import boxes as box_ops
from kdet.ops import nms, select


@keras.saving.register_keras_serializable("kdet")
class RegionDetections(Decoder):
    """Decodes, thresholds and suppresses (`bbox_head.py`, `multiclass_nms_op.cc`).

    Scores are the mean of the votes' probabilities; boxes are those of the last stage.

    Args:
        variances: of the last stage's deltas.
        score_threshold: scores must be above it.
        pre_nms: (region, class) pairs that enter suppression; exact when as many as can pass the
            threshold, or when the best of them already give `max_detections` boxes.
        nms_iou: boxes of one class with a larger IoU are dropped.
        max_detections: N.
    Call with raw (outputs of the network), image (B, H, W, 3), resized_size and original_size
    (B, 2) h, w. Returns {"boxes": (B, N, 4) float32 original pixels, "scores": (B, N) float32,
    "labels": (B, N) int32, "valid": (B, N) bool}, by falling score.
    """

    SETTINGS = ("variances", "score_threshold", "pre_nms", "nms_iou", "max_detections")

    def __init__(
        self,
        variances,
        score_threshold=0.05,
        pre_nms=5000,
        nms_iou=0.5,
        max_detections=100,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.variances, self.score_threshold = tuple(variances), score_threshold
        self.pre_nms, self.nms_iou, self.max_detections = pre_nms, nms_iou, max_detections

    def call(self, raw, image, resized_size, original_size):
        last = raw["stages"][max(raw["stages"])]
        votes = [ops.softmax(ops.cast(vote, "float32")) for vote in raw["votes"].values()]
        scores = (sum(votes) / len(votes))[..., 1:]
        regions, classes = scores.shape[1:]
        scores = ops.where(raw["valid"][..., None], scores, float("-inf"))
        scores, pair = select.top(ops.reshape(scores, (-1, regions * classes)), self.pre_nms)
        region, label = pair // classes, pair % classes
        kinds = last["deltas"].shape[2]
        own = region * kinds + (1 if kinds == 2 else label + 1)
        deltas = select.rows(ops.reshape(last["deltas"], (-1, regions * kinds, 4)), own)
        boxes = box_ops.rescale(select.rows(last["rois"], region), original_size / resized_size)
        boxes = box_ops.clip(box_ops.decode(deltas, boxes, self.variances), original_size)
        valid = scores > self.score_threshold
        facts = (self.nms_iou, self.max_detections, label)
        index, taken = nms.suppress(boxes, scores, valid, *facts, min_overlap=1.0, ordered=True)
        return nms.survivors(boxes, scores, label, index, taken)


@keras.saving.register_keras_serializable("kdet")
class MaskRegions(keras.layers.Layer):
    """(boxes (B, N, 4) original pixels, resized_size, original_size) -> the same in resized pixels.

    These are the regions that the mask head looks at.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, boxes, resized_size, original_size):
        return box_ops.rescale(boxes, resized_size / original_size)

    def compute_output_shape(self, boxes_shape, resized_size_shape, original_size_shape):
        return boxes_shape


@keras.saving.register_keras_serializable("kdet")
class MaskDetections(keras.layers.Layer):
    """Adds "masks" (B, N, M, M) float32, probabilities of each detection's own class.

    Call it like `RegionDetections`; raw holds "detections" and "masks" (B, N, M, M, K + 1) logits.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, raw, image, resized_size, original_size):
        found, logits = raw["detections"], ops.cast(raw["masks"], "float32")
        own = found["labels"][:, :, None, None, None] + 1
        masks = ops.sigmoid(ops.take_along_axis(logits, own, axis=-1)[..., 0])
        return {**found, "masks": ops.where(found["valid"][..., None, None], masks, 0.0)}

    def compute_output_spec(self, raw, image, resized_size, original_size):
        found = {n: keras.KerasTensor(x.shape, x.dtype) for n, x in raw["detections"].items()}
        return {**found, "masks": keras.KerasTensor(raw["masks"].shape[:-1], "float32")}
