"""The addresses of the weights that the reference published. kdet's tests do not download them."""

from __future__ import annotations

import re
from pathlib import Path

from kdet.config import DarkNet, MobileNet, ResNet
from kdet.errors import ConfigError

DETECTORS = "https://paddlemodels.bj.bcebos.com/object_detection/"
BACKBONES = "https://paddle-imagenet-models-name.bj.bcebos.com/"
LICENCE = "PaddleDetection (Apache-2.0)"


def released(name: str) -> str:
    """The URL of the published weights of a row.

    For `faster_rcnn_r101_vd_fpn_2x` the 2019 table links the file of the row without vd by mistake.
    Later tables link the file with the name of the row, as this function does (box AP 40.8).
    """
    return f"{DETECTORS}{name}.tar"


def backbone(config) -> str:
    """The URL of the ImageNet weights from which the reference starts training.

    Configurations of early 2019 call SENet's file `SE154_vd_pretrained.tar`. Later ones use the
    name that this function returns.

    Args:
        config: a backbone config of `kdet.config`.
    Raises:
        ConfigError: no weights were published for this backbone.
    """
    stem = _stem(config)
    if stem is None:
        raise ConfigError(f"no weights were published for {config}; use --init none")
    return f"{BACKBONES}{stem}_pretrained.tar"


def start_url(config) -> str:
    """The URL of the published weights from which the training of a model config starts.

    Raises:
        ConfigError: no weights were published for its backbone.
    """
    own = config.start_weights()
    return f"{DETECTORS}{own}" if own else backbone(config.backbone)


def mirrored(url: str, mirror=None) -> str:
    """The address of a file on a mirror.

    Args:
        url: the published address.
        mirror: replaces everything before the file name. It is an address (http, https, file) or
            a folder. None returns `url`.
    Raises:
        ConfigError: an address of another kind.
    """
    if not mirror:
        return url
    mirror, name = str(mirror), url.rpartition("/")[2]
    if not re.match(r"\w{2,}:", mirror):
        mirror = Path(mirror).expanduser().absolute().as_uri()
    if not mirror.startswith(("http://", "https://", "file://")):
        raise ConfigError(
            f"a mirror is http://..., https://..., file:///... or a folder, got {mirror!r}"
        )
    return f"{mirror.rstrip('/')}/{name}"


def _stem(config):
    if isinstance(config, MobileNet):
        return "MobileNetV1" if config.width == 1 else None
    if isinstance(config, DarkNet):
        return "DarkNet53"
    if not isinstance(config, ResNet):
        return None
    key = config.depth, config.variant, config.groups, config.squeeze_excite
    return {
        (34, "b", 1, False): "ResNet34",
        (50, "b", 1, False): "ResNet50_cos",
        (50, "d", 1, False): "ResNet50_vd",
        (101, "b", 1, False): "ResNet101",
        (101, "d", 1, False): "ResNet101_vd",
        (101, "d", 64, False): "ResNeXt101_vd_64x4d",
        (152, "d", 64, True): "SENet154_vd",
    }.get(key)
