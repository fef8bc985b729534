"""Region proposal network (Ren et al. 2015), with its head, its anchors and its proposals."""

import keras
from keras import ops

from kdet.layers.base import ConfiguredLayer
from kdet.layers.wide_conv import Conv2D
from kdet.ops import anchors as anchor_ops
from kdet.ops import boxes as box_ops
from kdet.ops import gather, nms


@keras.saving.register_keras_serializable("kdet")
class RPNHead(ConfiguredLayer):
    """{"P2": (B, h, w, C), ...} -> {"logits": {"P2": (B, hwA), ...}, "deltas": (B, hwA, 4)}.

    It has a 3x3 convolution with as many channels as its input and two 1x1 outputs. All levels
    share the weights.

    Args:
        anchors_per_cell: A.
    """

    SETTINGS = ("anchors_per_cell",)

    def __init__(self, anchors_per_cell=3, **kwargs):
        super().__init__(**kwargs)
        self.anchors_per_cell = anchors_per_cell

    def build(self, pyramid_shape):
        channels = next(iter(pyramid_shape.values()))[-1]
        self.conv = self._conv(channels, 3, "conv", "relu")
        self.logits = self._conv(self.anchors_per_cell, 1, "class_output", None)
        self.deltas = self._conv(4 * self.anchors_per_cell, 1, "box_output", None)
        for layer in (self.conv, self.logits, self.deltas):
            layer.build((None, None, None, channels))

    def _conv(self, filters, kernel_size, name, activation):
        return Conv2D(
            filters,
            kernel_size,
            padding="same",
            activation=activation,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, pyramid):
        outputs = {"logits": {}, "deltas": {}}
        for level, x in pyramid.items():
            x = self.conv(x)
            batch = ops.shape(x)[0]
            outputs["logits"][level] = ops.reshape(self.logits(x), (batch, -1))
            outputs["deltas"][level] = ops.reshape(self.deltas(x), (batch, -1, 4))
        return outputs

    def compute_output_shape(self, pyramid_shape):
        count = {
            level: None if None in shape[1:3] else shape[1] * shape[2] * self.anchors_per_cell
            for level, shape in pyramid_shape.items()
        }
        batch = next(iter(pyramid_shape.values()))[0]
        return {
            "logits": {level: (batch, n) for level, n in count.items()},
            "deltas": {level: (batch, n, 4) for level, n in count.items()},
        }


@keras.saving.register_keras_serializable("kdet")
class RPNAnchors(ConfiguredLayer):
    """{"P2": (B, h, w, C), ...} -> {"P2": (hwA, 4) float32, ...}; see `ops.anchors.rpn_grid`."""

    FLOAT32 = True
    SETTINGS = ("scale",)

    def __init__(self, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, pyramid):
        return {
            level: anchor_ops.rpn_grid(*ops.shape(features)[1:3], level, self.scale)
            for level, features in pyramid.items()
        }

    def compute_output_shape(self, pyramid_shape):
        per_cell = {level: 3 if level.startswith("P") else 15 for level in pyramid_shape}
        return {
            level: (None if None in shape[1:3] else per_cell[level] * shape[1] * shape[2], 4)
            for level, shape in pyramid_shape.items()
        }


@keras.saving.register_keras_serializable("kdet")
class Proposals(ConfiguredLayer):
    """Regions that may hold an object (`generate_proposals_op.cc`, `collect_fpn_proposals_op.h`).

    On each level, the best anchors are decoded and clipped and go through NMS. The proposals of an
    image are the best boxes that remain on all levels. The reference ranks all images of a device
    together, which is the same for one image.

    Args:
        pre_nms_top_n: number of anchors per level that enter NMS.
        post_nms_top_n: R, proposals kept per image.
        nms_iou: boxes of one level with a larger IoU are dropped.
    Call it with logits and deltas of `RPNHead`, anchors of `RPNAnchors` and the size (B, 2) h, w to
    clip to. It returns {"boxes": (B, R, 4) float32 resized pixels, "valid": (B, R) bool, "logits":
    (B, R)} by descending score; no gradient passes. Unused entries are boxes of one pixel.
    """

    FLOAT32 = True
    RENAMED = {"before": "pre_nms_top_n", "after": "post_nms_top_n"}
    SETTINGS = ("pre_nms_top_n", "post_nms_top_n", "nms_iou")

    def __init__(self, pre_nms_top_n, post_nms_top_n, nms_iou=0.7, **kwargs):
        super().__init__(**kwargs)
        self.pre_nms_top_n, self.post_nms_top_n = pre_nms_top_n, post_nms_top_n
        self.nms_iou = nms_iou

    def call(self, logits, deltas, anchors, size):
        parts = []
        for number, level in enumerate(sorted(logits)):
            value, index = gather.top_k(ops.cast(logits[level], "float32"), self.pre_nms_top_n)
            chosen = gather.batch_gather(deltas[level], index)
            boxes = box_ops.decode(
                chosen,
                ops.take(anchors[level], index, axis=0),
                max_log_ratio=box_ops.PROPOSAL_LOG_RATIO,
            )
            boxes = box_ops.clip(boxes, size)
            sides = boxes[..., 2:] - boxes[..., :2]
            # the reference also wants the centre inside the image, which clipping already ensures
            valid = ops.logical_and(value > float("-inf"), ops.min(sides, axis=-1) >= 1.0)
            parts.append((boxes, value, valid, ops.full_like(index, number)))
        boxes, value, valid, number = (ops.concatenate(part, axis=1) for part in zip(*parts))
        # the level takes the place of the class, so boxes of different levels are independent
        index, taken = nms.batched_nms(
            boxes, value, valid, self.nms_iou, self.post_nms_top_n, number, min_overlap=1.0
        )
        boxes = ops.where(taken[..., None], gather.batch_gather(boxes, index), box_ops.ONE_PIXEL)
        value = ops.where(taken, gather.batch_gather(value, index), -1e9)
        return {
            "boxes": ops.stop_gradient(boxes),
            "valid": taken,
            "logits": ops.stop_gradient(value),
        }

    def compute_output_spec(self, logits, deltas, anchors, size):
        shape = (size.shape[0], self.post_nms_top_n)
        return {
            "boxes": keras.KerasTensor((*shape, 4), "float32"),
            "valid": keras.KerasTensor(shape, "bool"),
            "logits": keras.KerasTensor(shape, "float32"),
        }


@keras.saving.register_keras_serializable("kdet")
class CanvasSize(ConfiguredLayer):
    """(B, H, W, C) -> (B, 2) float32, H and W in every row."""

    FLOAT32 = True

    def call(self, image):
        batch, height, width = ops.shape(image)[:3]
        size = ops.cast(ops.stack([height, width]), "float32")
        return ops.broadcast_to(size[None], (batch, 2))

    def compute_output_shape(self, shape):
        return (shape[0], 2)
