"""Samples the RoIs that train the heads, and computes the targets of the heads."""

import keras
from keras import ops

from kdet.layers.base import ConfiguredLayer
from kdet.ops import boxes as box_ops
from kdet.ops import gather, polygons, tf_kernels
from kdet.ops.matching import BACKGROUND, IGNORED, TIE


@keras.saving.register_keras_serializable("kdet", name="SampleRegions")
class RoISampler(ConfiguredLayer):
    """Samples the RoIs that train a box head (`generate_proposal_labels_op.cc`).

    Ground-truth boxes are added to the proposals. An RoI is foreground if its IoU with a
    ground-truth box is at least `iou`.

    Args:
        count: S, RoIs per image.
        foreground: largest share of foreground RoIs.
        iou: threshold for foreground.
        variances: divisors of the deltas.
        later: False samples S RoIs, foreground first. True is for the second and third head of a
            cascade. It keeps all S input RoIs, but the G ground-truth boxes replace the first G.
    Call it with rois (B, R, 4) resized pixels, valid (B, R), boxes (B, M, 4) resized pixels, labels
    and present (B, M), resized_size and original_size (B, 2), and seeds (B,) int, or None to choose
    the first candidates. It returns {"rois": (B, S, 4), "labels": (B, S) int32 with -1 background
    and -2 unused, "target": (B, S, 4) deltas}; no gradient passes.
    """

    FLOAT32 = True
    SETTINGS = ("count", "foreground", "iou", "variances", "later")

    def __init__(self, count, foreground, iou, variances, later=False, **kwargs):
        super().__init__(**kwargs)
        self.count, self.foreground, self.iou = count, foreground, iou
        self.variances, self.later = tuple(variances), later

    def call(self, rois, valid, boxes, labels, present, resized_size, original_size, seeds=None):
        rois = ops.stop_gradient(rois)
        back = original_size / resized_size  # the reference matches in original pixels
        truth = box_ops.rescale(boxes, back)
        if self.later:
            rois, valid = self._with_truth_in_front(rois, valid, boxes, present)
        else:
            # ground truth first, as in the reference; without seeds the first ones are chosen
            rois = ops.concatenate([boxes, rois], axis=1)
            valid = ops.concatenate([present, valid], axis=1)
        regions = box_ops.rescale(rois, back)
        valid = ops.logical_and(valid, box_ops.area(regions) > 0)  # decoded RoIs may be empty
        overlap = ops.where(present[:, None, :], box_ops.iou(regions, truth), -1.0)
        best = ops.max(overlap, axis=2)
        # the first box within TIE of the best one, as in the reference
        match = ops.cast(overlap >= best[..., None] - TIE, "int32")
        match = ops.cast(ops.argmax(match, axis=2), "int32")
        foreground = ops.logical_and(valid, best >= self.iou)
        if not self.later:
            background = ops.logical_and(valid, best < self.iou)
            index, foreground, valid = self._sample(foreground, background, seeds)
            rois, regions = gather.batch_gather(rois, index), gather.batch_gather(regions, index)
            match = gather.batch_gather(match, index)
        target = gather.batch_gather(truth, match)
        # the logarithm of padding boxes would not be finite
        target = ops.where(foreground[..., None], target, box_ops.ONE_PIXEL)
        regions = ops.where(foreground[..., None], regions, box_ops.ONE_PIXEL)
        labels = gather.batch_gather(ops.cast(labels, "int32"), match)
        labels = ops.where(foreground, labels, ops.where(valid, BACKGROUND, IGNORED))
        deltas = box_ops.encode(target, regions, self.variances)
        return {"rois": rois, "labels": labels, "target": deltas}

    def _sample(self, foreground, background, seeds):
        """Index, whether it is foreground and whether it is used, (B, S) each; foreground first."""
        keys = (None, None)
        if seeds is not None:
            total = foreground.shape[1]
            keys = [
                gather.stateless_uniform(seeds, total, salt) for salt in ("regions", "background")
            ]
        max_fg = int(self.count * self.foreground)
        fg, fg_used = gather.subsample(foreground, max_fg, keys[0])
        num_fg = ops.sum(ops.cast(fg_used, "int32"), axis=1)
        bg, bg_used = gather.subsample(background, self.count, keys[1], self.count - num_fg)
        # background follows the used foreground without a gap
        place = ops.arange(self.count, dtype="int32")[None]
        is_fg = place < num_fg[:, None]
        place = ops.where(is_fg, place, place - num_fg[:, None] + fg.shape[1])
        place = ops.minimum(place, fg.shape[1] + bg.shape[1] - 1)
        index = gather.batch_gather(ops.concatenate([fg, bg], axis=1), place)
        used = gather.batch_gather(ops.concatenate([fg_used, bg_used], axis=1), place)
        return index, is_fg, used

    def _with_truth_in_front(self, rois, valid, boxes, present):
        count, most = rois.shape[1], boxes.shape[1]
        boxes, present = boxes[:, :count], present[:, :count]
        short = max(count - most, 0)
        boxes = ops.pad(boxes, [(0, 0), (0, short), (0, 0)])
        present = ops.pad(present, [(0, 0), (0, short)])
        return (
            ops.where(present[..., None], boxes, rois),
            ops.logical_or(present, valid),
        )

    def compute_output_spec(self, rois, *args, **kwargs):
        shape = (rois.shape[0], self.count)
        return {
            "rois": keras.KerasTensor((*shape, 4), "float32"),
            "labels": keras.KerasTensor(shape, "int32"),
            "target": keras.KerasTensor((*shape, 4), "float32"),
        }


@keras.saving.register_keras_serializable("kdet", name="Refine")
class ApplyDeltas(ConfiguredLayer):
    """(rois (B, N, 4), deltas (B, N, 2, 4)) -> the RoIs of a cascade's next head.

    The RoIs are moved by the foreground deltas and are not clipped. No gradient passes.

    Args:
        variances: divisors of the deltas.
    """

    FLOAT32 = True
    SETTINGS = ("variances",)

    def __init__(self, variances, **kwargs):
        super().__init__(**kwargs)
        self.variances = tuple(variances)

    def call(self, rois, deltas):
        return ops.stop_gradient(box_ops.decode(deltas[..., 1, :], rois, self.variances))

    def compute_output_shape(self, rois_shape, deltas_shape):
        return rois_shape


@keras.saving.register_keras_serializable("kdet")
class LeadingForeground(ConfiguredLayer):
    """The first F of N sampled RoIs, which hold the foreground ones.

    F is `most` where shapes must be fixed. Otherwise it is the largest number of foreground RoIs in
    an image. The other RoIs have no mask loss, so the result of training is the same.

    Args:
        most: the largest F.
    Call it with labels (B, N) and values (B, N, ...); it returns (B, F, ...).
    """

    SETTINGS = ("most",)

    def __init__(self, most, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.most = most

    def call(self, labels, values):
        return values[:, : tf_kernels.leading_count(labels >= 0, self.most)]

    def compute_output_spec(self, labels, values):
        shape = (values.shape[0], None, *values.shape[2:])
        return keras.KerasTensor(shape, values.dtype)


@keras.saving.register_keras_serializable("kdet")
class MaskTargets(ConfiguredLayer):
    """Targets of the mask head (`generate_mask_labels_op.cc`).

    The target of an RoI is the object whose polygons have the bounding box with the highest IoU.
    This may be another object than the one of its class and box targets.

    Args:
        size: side of the masks.
    Call it with rois (B, N, 4) resized pixels, edges (B, M, E, 4) and parts (B, M, E) in original
    pixels, see `ops.polygons`, present (B, M), resized_size and original_size (B, 2). It returns
    (B, N, size, size) float32, 0 or 1, which has a meaning for foreground RoIs only.
    """

    FLOAT32 = True
    SETTINGS = ("size",)

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, rois, edges, parts, present, resized_size, original_size):
        regions = box_ops.rescale(ops.stop_gradient(rois), original_size / resized_size)
        match = polygons.best_object(regions, polygons.edge_boxes(edges, parts), present)
        drawn = polygons.rasterize(edges, parts, match, regions, self.size)
        return ops.cast(drawn, "float32")

    def compute_output_spec(self, rois, *args, **kwargs):
        return keras.KerasTensor((*rois.shape[:2], self.size, self.size), "float32")
