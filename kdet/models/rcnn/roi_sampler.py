"""Which regions the heads learn from, and what they should say about them."""

import keras
from keras import ops

from kdet.layers.base import ConfiguredLayer
from kdet.ops import boxes as box_ops
from kdet.ops import gather, polygons
from kdet.ops.matching import BACKGROUND, IGNORED, TIE


@keras.saving.register_keras_serializable("kdet", name="SampleRegions")
class RoISampler(ConfiguredLayer):
    """Proposals and truth -> the sample that a box head is trained on.

    (`generate_proposal_labels_op.cc`.) Truth boxes join the proposals. Foreground is what overlaps
    a truth box by `iou` or more. Matching happens in original pixels, as in the reference.

    Args:
        count: S, regions per image.
        foreground: at most this share of them foreground.
        iou: the threshold.
        variances: of the deltas.
        later: False: S are sampled of many, foreground first. True, for the second and third head
            of a cascade: all S regions that come in are kept; the first G of them, G the number of
            truth boxes, give way to those.
    Call with rois (B, R, 4) resized pixels, valid (B, R), boxes (B, M, 4) resized pixels, labels
    and present (B, M), resized_size and original_size (B, 2), and seeds (B,) int, or None to take
    the first candidates. Returns {"rois": (B, S, 4), "labels": (B, S) int32, -1 background, -2
    unused, "target": (B, S, 4) deltas}; no gradient passes.
    """

    FLOAT32 = True
    SETTINGS = ("count", "foreground", "iou", "variances", "later")

    def __init__(self, count, foreground, iou, variances, later=False, **kwargs):
        super().__init__(**kwargs)
        self.count, self.foreground, self.iou = count, foreground, iou
        self.variances, self.later = tuple(variances), later

    def call(self, rois, valid, boxes, labels, present, resized_size, original_size, seeds=None):
        rois = ops.stop_gradient(rois)
        back = original_size / resized_size
        truth = box_ops.rescale(boxes, back)
        if self.later:
            rois, valid = self._with_truth_in_front(rois, valid, boxes, present)
        else:
            rois = ops.concatenate([boxes, rois], axis=1)
            valid = ops.concatenate([present, valid], axis=1)
        regions = box_ops.rescale(rois, back)
        valid = ops.logical_and(valid, box_ops.area(regions) > 0)
        overlap = ops.where(present[:, None, :], box_ops.iou(regions, truth), -1.0)
        best = ops.max(overlap, axis=2)
        match = ops.cast(overlap >= best[..., None] - TIE, "int32")
        match = ops.cast(ops.argmax(match, axis=2), "int32")
        foreground = ops.logical_and(valid, best >= self.iou)
        if not self.later:
            background = ops.logical_and(valid, best < self.iou)
            index, foreground, valid = self._sample(foreground, background, seeds)
            rois, regions = gather.batch_gather(rois, index), gather.batch_gather(regions, index)
            match = gather.batch_gather(match, index)
        target = gather.batch_gather(truth, match)
        target = ops.where(foreground[..., None], target, box_ops.ONE_PIXEL)
        regions = ops.where(foreground[..., None], regions, box_ops.ONE_PIXEL)
        labels = gather.batch_gather(ops.cast(labels, "int32"), match)
        labels = ops.where(foreground, labels, ops.where(valid, BACKGROUND, IGNORED))
        deltas = box_ops.encode(target, regions, self.variances)
        return {"rois": rois, "labels": labels, "target": deltas}

    def _sample(self, foreground, background, seeds):
        """(index, is foreground, is used), each (B, S); foreground first, then background."""
        keys = (None, None)
        if seeds is not None:
            total = foreground.shape[1]
            keys = [
                gather.stateless_uniform(seeds, total, salt) for salt in ("regions", "background")
            ]
        most = int(self.count * self.foreground)
        fg, fg_used = gather.subsample(foreground, most, keys[0])
        some = ops.sum(ops.cast(fg_used, "int32"), axis=1)
        bg, bg_used = gather.subsample(background, self.count, keys[1], self.count - some)
        place = ops.arange(self.count, dtype="int32")[None]
        is_fg = place < some[:, None]
        place = ops.where(is_fg, place, place - some[:, None] + fg.shape[1])
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
    """(rois (B, N, 4), deltas (B, N, 2, 4)) -> the regions of a cascade's next head.

    Moves regions by the foreground deltas; not clipped, no gradient passes.

    Args:
        variances: of the deltas.
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
class MaskTargets(ConfiguredLayer):
    """What the mask head should draw (`generate_mask_labels_op.cc`).

    A region shows the object whose polygons' box overlaps it most, which need not be the one that
    its class and box come from.

    Args:
        size: side of the masks.
    Call with rois (B, N, 4) resized pixels, edges (B, M, E, 4) and parts (B, M, E) in original
    pixels, see `ops.masks`, present (B, M), resized_size and original_size (B, 2). Returns
    (B, N, size, size) float32, 0 or 1; of use for foreground regions only.
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
