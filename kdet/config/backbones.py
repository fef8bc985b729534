"""Backbones: the networks that turn an image into feature maps."""

from __future__ import annotations

from dataclasses import dataclass

from kdet.config.checks import one_of


@dataclass(frozen=True)
class ResNet:
    """ResNet (He et al. 2015). Variant "d" is from He et al. 2018, "Bag of Tricks"."""

    depth: int = 50  # 34, 50, 101 or 152; 34 has two 3x3 convolutions per block
    variant: str = "b"  # "b": stride in the 3x3 conv | "d": stem of three convs, pooled shortcut
    groups: int = 1  # groups of the 3x3 convolutions (ResNeXt)
    group_width: int = 64  # channels per group in stage 2
    squeeze_excite: bool = False  # SENet (Hu et al. 2017)
    norm: str = "frozen"  # "frozen": folded statistics | "batch": trained, synchronised
    freeze_at: int = 2  # stages 1..freeze_at are not trained

    def __post_init__(self):
        one_of(self, "depth", (34, 50, 101, 152))
        one_of(self, "variant", ("b", "d"))
        one_of(self, "norm", ("frozen", "batch"))


R50, R101 = ResNet(50), ResNet(101)
R50_VD, R101_VD = ResNet(50, "d"), ResNet(101, "d")
X101_VD_64X4D = ResNet(101, "d", groups=64, group_width=4)
SE154_VD = ResNet(152, "d", groups=64, group_width=4, squeeze_excite=True)


@dataclass(frozen=True)
class DarkNet:
    """DarkNet-53 (Redmon and Farhadi 2018, "YOLOv3"). Its batch norms are trained."""

    depth: int = 53
    freeze_at: int = (
        0  # stages 1..freeze_at are not trained, norms included; stage n has stride 2^n
    )

    def __post_init__(self):
        one_of(self, "depth", (53,))


@dataclass(frozen=True)
class MobileNet:
    """MobileNet, version 1 (Howard et al. 2017). Its batch norms are trained."""

    width: float = 1.0  # multiplies every channel count
    freeze_at: int = (
        0  # stages 1..freeze_at are not trained, norms included; stage n has stride 2^n
    )
