"""Where the reference published its weights. Nothing here was ever fetched by kdet's own tests."""

from __future__ import annotations

import re
from pathlib import Path

from kdet.config import DarkNet, MobileNet, ResNet
from kdet.errors import ConfigError

DETECTORS = "https://paddlemodels.bj.bcebos.com/object_detection/"
BACKBONES = "https://paddle-imagenet-models-name.bj.bcebos.com/"
LICENCE = "PaddleDetection (Apache-2.0)"


def released(name: str) -> str:
    """URL of the published weights of a row.

    The 2019 table links the row `faster_rcnn_r101_vd_fpn_2x` to the file of the row without vd, a
    slip: the file of its own name is meant, as later tables say (which give it box AP 40.8).
    """
    return f"{DETECTORS}{name}.tar"


def backbone(config) -> str:
    """URL of the ImageNet weights that the reference starts training from.

    Args:
        config: a backbone config of `kdet.config`.
    Raises:
        ConfigError: none was published for this backbone.

    Early 2019 configurations name SENet's file `SE154_vd_pretrained.tar`; later ones as here.
    """
    stem = _stem(config)
    if stem is None:
        raise ConfigError(f"no published weights start {config}; use --init none")
    return f"{BACKBONES}{stem}_pretrained.tar"


def starting_weights(file_name: str) -> str:
    """URL of published detector weights that training may start from."""
    return f"{DETECTORS}{file_name}"


def mirrored(url: str, mirror=None) -> str:
    """The address of the same file elsewhere.

    Args:
        url: of the file.
        mirror: replaces what stands before the file's name: an address (http, https, file) or a
            folder. None changes nothing.
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
            f"a mirror is http://..., https://..., file:///... or a folder; got {mirror!r}"
        )
    return f"{mirror.rstrip('/')}/{name}"


def _stem(config):
    if isinstance(config, MobileNet):
        return "MobileNetV1" if config.width == 1 else None
    if isinstance(config, DarkNet):
        return "DarkNet53"
    key = config.depth, config.variant, config.groups, config.squeeze_excite
    return {
        (34, "b", 1, False): "ResNet34",
        (50, "b", 1, False): "ResNet50_cos",
        (50, "d", 1, False): "ResNet50_vd",
        (101, "b", 1, False): "ResNet101",
        (101, "d", 1, False): "ResNet101_vd",
        (101, "d", 64, False): "ResNeXt101_vd_64x4d",
        (152, "d", 64, True): "SENet154_vd",
    }.get(key if isinstance(config, ResNet) else None)
