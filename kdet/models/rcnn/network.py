"""Networks of Faster, Mask and Cascade R-CNN, on a pyramid or on one map (Ren et al. 2015)."""

import keras
from keras import ops

from kdet.backbones.resnet import resnet
from kdet.backbones.resnet import stage as resnet_stage
from kdet.layers.fpn import FPN
from kdet.layers.roi_align import RoIAlign
from kdet.models.rcnn.detections import RescaleBoxes, box_detections
from kdet.models.rcnn.roi_heads import BoxHead, MaskHead, PerRoI
from kdet.models.rcnn.roi_sampler import ApplyDeltas, LeadingForeground, MaskTargets, RoISampler
from kdet.models.rcnn.rpn import CanvasSize, Proposals, RPNAnchors, RPNHead
from kdet.ops.anchors import RPN_LEVELS
from kdet.ops.matching import IGNORED


def network(config):
    """The network for inference, which owns all weights.

    Args:
        config: `kdet.config.RCNN`.
    Returns:
        keras.Model: {"image": (B, H, W, 3) normalised RGB, sides multiples of 32 with a pyramid,
        "resized_size", "original_size": (B, 2)} -> {
            "rpn": {"logits": {"P2": (B, A2), ...}, "deltas", "anchors"},
            "valid": (B, R) which of the R RoIs are used,
            "stages": {"1": {"rois": (B, R, 4) resized pixels, "logits": (B, R, K + 1),
                "deltas": (B, R, K + 1 or 2, 4)}[, "2", "3"]},
            "votes": {"1": (B, R, K + 1), ...} logits whose mean probability is the score,
            [with masks: "detections": result of `BoxDetections`, "masks": (B, N, M, M, K + 1)]}.
        Class 0 of logits and deltas is background.
    """
    inputs = {
        "image": keras.Input((None, None, 3), name="image", dtype="float32"),
        "resized_size": keras.Input((2,), name="resized_size", dtype="float32"),
        "original_size": keras.Input((2,), name="original_size", dtype="float32"),
    }
    features = _features(inputs["image"], config)
    layers = _layers(config)
    outputs = {"rpn": _rpn(config, layers, features)}
    limit = inputs["resized_size"]
    if config.clip_proposals == "canvas":  # as the reference does with an FPN
        limit = CanvasSize(name="canvas_size")(inputs["image"])
    proposals = _proposals(config, outputs["rpn"], limit, "test")
    rois, outputs["valid"], outputs["stages"] = proposals["boxes"], proposals["valid"], {}
    for number, stage in _stages(config):
        regions = _regions(layers, features, rois)
        outputs["stages"][number] = {"rois": rois, **_box_head(layers, number, regions)}
        deltas = outputs["stages"][number]["deltas"]
        if number != str(len(config.stages)):
            rois = ApplyDeltas(stage.variances, name=f"refine_{number}")(rois, deltas)
    # in the reference, all heads of a cascade score the RoIs of the last stage
    outputs["votes"] = {
        number: outputs["stages"][number]["logits"]
        if number == str(len(config.stages))
        else _box_head(layers, number, regions)["logits"]
        for number, _ in _stages(config)
    }
    if config.mask:
        sizes = inputs["resized_size"], inputs["original_size"]
        outputs["detections"] = box_detections(config)(outputs, inputs["image"], *sizes)
        rois = RescaleBoxes(name="mask_regions")(outputs["detections"]["boxes"], *sizes)
        outputs["masks"] = layers["mask_head"](_regions(layers, features, rois, "mask_align"))
    return keras.Model(inputs, outputs, name="rcnn")


def training_model(config, network):
    """The network for training, whose heads get RoIs that are sampled with the ground truth.

    Args:
        config: `kdet.config.RCNN`.
        network: result of the function `network`; the layers are shared.
    Returns:
        keras.Model: {"image", "resized_size", "original_size", "boxes": (B, M, 4) resized pixels,
        "labels": (B, M), "valid": (B, M)[, "sample_seed": (B,) int32 with random sampling]
        [, with masks "mask_edges": (B, M, E, 4), "mask_parts": (B, M, E), see `MaskTargets`]} -> {
            "rpn": as in `network`,
            "stages": {"1": {"rois": (B, S, 4), "labels": (B, S), "target": (B, S, 4), "logits",
                "deltas"}, ...}, see `RoISampler`,
            [with masks: "masks": (B, F, M, M, K + 1) for the first F RoIs of stage "1", and
            "mask_targets": (B, F, M, M), see `LeadingForeground`]}.
    """
    inputs = _training_inputs(config, network)
    layers = {layer.name.removesuffix("_c4"): layer for layer in network.layers}
    levels = layers["rpn_head"].input
    levels = levels if isinstance(levels, list) else [levels]
    features = dict(zip(RPN_LEVELS[config.neck], levels))
    outputs = {"rpn": _rpn(config, layers, features), "stages": {}}
    # in training the reference clips to the image without its padding
    proposals = _proposals(config, outputs["rpn"], inputs["resized_size"], "train")
    rois, used = proposals["boxes"], proposals["valid"]
    truth = [inputs[n] for n in ("boxes", "labels", "valid", "resized_size", "original_size")]
    for number, stage in _stages(config):
        later = number != "1"
        sampler = RoISampler(
            config.roi_batch_size,
            config.roi_positive_fraction,
            stage.foreground_iou,
            stage.variances,
            later,
            name=f"sample_{number}",
        )
        seeds = [] if later or config.sampling != "random" else [inputs["sample_seed"]]
        sample = sampler(rois, used, *truth, *seeds)
        regions = _regions(layers, features, sample["rois"])
        head = outputs["stages"][number] = {**sample, **_box_head(layers, number, regions)}
        if number != str(len(config.stages)):
            refine = ApplyDeltas(stage.variances, name=f"refine_{number}")
            rois = refine(sample["rois"], head["deltas"])
            used = sample["labels"] > IGNORED
    if config.mask:
        outputs |= _training_masks(config, layers, features, inputs, sample, regions)
    return keras.Model(inputs, outputs, name="rcnn_train")


def _training_inputs(config, network):
    names = ("image", "resized_size", "original_size")
    inputs = {name: network.get_layer(name).output for name in names}
    inputs["boxes"] = keras.Input((None, 4), name="boxes", dtype="float32")
    inputs["labels"] = keras.Input((None,), name="labels", dtype="int32")
    inputs["valid"] = keras.Input((None,), name="valid", dtype="bool")
    if config.sampling == "random":
        inputs["sample_seed"] = keras.Input((), name="sample_seed", dtype="int32")
    if config.mask:
        inputs["mask_edges"] = keras.Input((None, None, 4), name="mask_edges", dtype="float32")
        inputs["mask_parts"] = keras.Input((None, None), name="mask_parts", dtype="int32")
    return inputs


def _training_masks(config, layers, features, inputs, sample, regions):
    labels, leading = sample["labels"], LeadingForeground(config.mask_rois, name="mask_rois")
    rois = leading(labels, sample["rois"])
    if config.neck == "fpn":
        regions = layers["mask_align"](features, rois)
    else:  # C4 uses the features of the box head again
        regions = leading(labels, regions)
    names = ("mask_edges", "mask_parts", "valid", "resized_size", "original_size")
    targets = MaskTargets(config.mask_size, name="mask_targets")
    return {
        "masks": layers["mask_head"](regions),
        "mask_targets": targets(rois, *(inputs[name] for name in names)),
    }


def _features(image, config):
    if config.neck == "c4":
        return resnet(image, config.backbone, levels=(4,))
    features = resnet(image, config.backbone, levels=(2, 3, 4, 5))
    return FPN(config.width, extra="pool", name="fpn")(features)


def _stages(config):
    return [(str(number), stage) for number, stage in enumerate(config.stages, 1)]


def _layers(config):
    """The layers that the network and the training model share, by name and not yet built."""
    fpn = config.neck == "fpn"
    made = [
        RPNHead(3 if fpn else 15, name="rpn_head" if fpn else "rpn_head_c4"),
        RoIAlign(7 if fpn else 14, name="roi_align"),
    ]
    if not fpn:
        x = keras.Input((14, 14, 1024))
        trunk = keras.Model(x, resnet_stage(x, config.backbone, 5), name="stage_5")
        made.append(PerRoI(trunk, name="region_trunk"))
    outputs = 2 if config.cascade else config.num_classes + 1
    for number, _ in _stages(config):
        hidden = config.head_width if fpn else 0
        made.append(BoxHead(config.num_classes, outputs, hidden, name=f"box_head_{number}"))
    if config.mask:
        made.append(RoIAlign(14, name="mask_align"))
        depth = 4 if fpn else 0
        made.append(MaskHead(config.num_classes, depth, config.width, name="mask_head"))
    return {layer.name.removesuffix("_c4"): layer for layer in made}


def _rpn(config, layers, features):
    anchors = RPNAnchors(config.anchor_scale, name="anchors")
    return {**layers["rpn_head"](features), "anchors": anchors(features)}


def _proposals(config, rpn, limit, mode):
    """Proposals of `rpn`, clipped to `limit`; their number depends on `mode`, "train" or "test"."""
    pre_nms_top_n = getattr(config, f"rpn_pre_nms_top_n_{mode}")
    post_nms_top_n = getattr(config, f"rpn_post_nms_top_n_{mode}")
    layer = Proposals(pre_nms_top_n, post_nms_top_n, config.rpn_nms_iou, name="proposals")
    return layer(rpn["logits"], rpn["deltas"], rpn["anchors"], limit)


def _regions(layers, features, rois, align="roi_align"):
    x = layers[align](features, rois)
    return layers["region_trunk"](x) if "region_trunk" in layers else x


def _box_head(layers, number, regions):
    if "region_trunk" in layers:  # the C4 head ends in a global average pooling
        regions = ops.mean(regions, axis=(2, 3))
    return layers[f"box_head_{number}"](regions)
