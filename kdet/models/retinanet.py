"""RetinaNet (Lin et al. 2017)."""

import keras

from kdet.backbones.resnet import resnet
from kdet.layers.anchors import RetinaAnchors
from kdet.layers.fpn import FPN
from kdet.layers.retina_detections import RetinaDetections
from kdet.layers.retina_head import RetinaHead


def network(config):
    """Image -> raw outputs.

    Args:
        config: `kdet.config.RetinaNet`.
    Returns:
        keras.Model: (B, H, W, 3) normalised RGB, sides multiples of 128 -> {"logits": {"P3": (B,
        A3, K), ...}, "deltas": {"P3": (B, A3, 4), ...}, "anchors": {"P3": (A3, 4), ...}}.
    """
    image = keras.Input((None, None, 3), name="image")
    features = resnet(image, config.backbone, levels=(3, 4, 5))
    pyramid = FPN(config.width, extra="conv", name="fpn")(features)
    raw = RetinaHead(
        config.num_classes, width=config.width, depth=config.depth, name="retina_head"
    )(pyramid)
    raw["anchors"] = RetinaAnchors(name="anchors")(pyramid)
    return keras.Model(image, raw, name="retinanet")


def detections(config):
    """The layer (raw, image, resized_size, original_size) -> detections."""
    return RetinaDetections(
        config.score_threshold,
        config.pre_nms,
        config.nms_iou,
        config.max_detections,
        config.clip_to,
        name="detections",
    )
