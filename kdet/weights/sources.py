"""Where the reference published its weights. Nothing here was ever fetched by kdet's own tests."""

from __future__ import annotations

from kdet.config import SSD, ConfigError, DarkNet, MobileNet, ResNet

DETECTORS = "https://paddlemodels.bj.bcebos.com/object_detection/"
BACKBONES = "https://paddle-imagenet-models-name.bj.bcebos.com/"
LICENCE = "PaddleDetection (Apache-2.0)"


def released(name: str) -> str:
    """URL of the published weights of a row.

    The 2019 table links the row `faster_rcnn_r101_vd_fpn_2x` to the file of the row without vd, a
    slip: the file of its own name is meant, as later tables say.
    """
    return f"{DETECTORS}{name}.tar"


def backbone(model) -> str:
    """URL of the weights that the reference starts training from: ImageNet's, for SSD COCO's.

    Args:
        model: a model config of `kdet.config`.
    Raises:
        ConfigError: none was published for this backbone.
    """
    if isinstance(model, SSD) and model.backbone == MobileNet():
        return f"{DETECTORS}ssd_mobilenet_v1_coco_pretrained.tar"
    stem = _stem(model.backbone)
    if stem is None:
        raise ConfigError(f"no published weights start {model.backbone}; use --init none")
    return f"{BACKBONES}{stem}_pretrained.tar"


def _stem(config):
    if isinstance(config, MobileNet):
        return "MobileNetV1" if config.width == 1 else None
    if isinstance(config, DarkNet):
        return "DarkNet53"
    facts = config.depth, config.variant, config.groups, config.squeeze_excite
    return {
        (34, "b", 1, False): "ResNet34",
        (50, "b", 1, False): "ResNet50_cos",
        (50, "d", 1, False): "ResNet50_vd",
        (101, "b", 1, False): "ResNet101",
        (101, "d", 1, False): "ResNet101_vd",
        (101, "d", 64, False): "ResNeXt101_vd_64x4d",
        (152, "d", 64, True): "SENet154_vd",
    }.get(facts if isinstance(config, ResNet) else None)
