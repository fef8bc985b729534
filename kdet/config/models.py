"""Architectures."""

from __future__ import annotations

from dataclasses import dataclass

from kdet.config.errors import one_of


@dataclass(frozen=True)
class ResNet:
    """A residual backbone (He et al. 2015; variant d: He et al. 2018, "Bag of Tricks")."""

    depth: int = 50
    variant: str = "b"  # "b": stride in the 3x3 conv; "d": three-conv stem, pooled shortcut
    groups: int = 1
    group_width: int = 64  # channels per group in stage 2
    squeeze_excite: bool = False
    norm: str = (
        "frozen"  # "frozen": folded statistics | "batch": trains, synchronised over replicas
    )
    freeze_at: int = 2  # stages 1..freeze_at get no gradient

    def __post_init__(self):
        one_of(self, "depth", (50, 101))
        one_of(self, "variant", ("b", "d"))
        one_of(self, "norm", ("frozen", "batch"))


R50, R101 = ResNet(50), ResNet(101)


@dataclass(frozen=True)
class RetinaNet:
    """RetinaNet (Lin et al. 2017): FPN levels P3-P7, two towers shared over the levels."""

    backbone: ResNet = R50
    num_classes: int = 80
    width: int = 256  # channels of the pyramid and the towers
    depth: int = 4  # convolutions per tower
    foreground_iou: float = 0.5
    background_iou: float = 0.4
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    smooth_l1_sigma: float = 3.0151134457776365  # quadratic below 1 / sigma^2 = 0.11
    score_threshold: float = 0.05  # the coarsest level keeps everything above 0
    pre_nms: int = 1000  # (anchor, class) pairs kept per level
    nms_iou: float = 0.5
    max_detections: int = 100
    clip_to: str = "canvas"  # "canvas": the padded image, as the reference | "image"

    def __post_init__(self):
        one_of(self, "clip_to", ("canvas", "image"))
