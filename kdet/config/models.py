"""Architectures."""

from __future__ import annotations

from dataclasses import dataclass

from kdet.config.errors import one_of


@dataclass(frozen=True)
class ResNet:
    """A residual backbone (He et al. 2015; variant d: He et al. 2018, "Bag of Tricks")."""

    depth: int = 50  # below 50: two 3x3 convolutions per block
    variant: str = "b"  # "b": stride in the 3x3 conv; "d": three-conv stem, pooled shortcut
    groups: int = 1
    group_width: int = 64  # channels per group in stage 2
    squeeze_excite: bool = False
    norm: str = (
        "frozen"  # "frozen": folded statistics | "batch": trains, synchronised over replicas
    )
    freeze_at: int = 2  # stages 1..freeze_at get no gradient

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
    """YOLOv3's own backbone (Redmon and Farhadi 2018); its norms train."""

    depth: int = 53

    def __post_init__(self):
        one_of(self, "depth", (53,))


@dataclass(frozen=True)
class MobileNet:
    """MobileNet, version 1 (Howard et al. 2017); its norms train."""

    width: float = 1.0  # multiplies every channel count


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


# nine (width, height) in pixels: three per level, P3 first
YOLO_ANCHORS = (
    (10, 13), (16, 30), (33, 23),
    (30, 61), (62, 45), (59, 119),
    (116, 90), (156, 198), (373, 326),
)  # fmt: skip


@dataclass(frozen=True)
class YOLOv3:
    """YOLOv3 (Redmon and Farhadi 2018): three levels, three anchors each."""

    backbone: DarkNet | MobileNet | ResNet = DarkNet()
    num_classes: int = 80
    anchors: tuple[tuple[float, float], ...] = YOLO_ANCHORS
    ignore_iou: float = 0.7  # predictions above it are no negatives
    label_smoothing: bool = True
    score_threshold: float = 0.01  # of objectness alone as well
    pre_nms: int = 1000  # boxes kept per class
    nms_iou: float = 0.45
    max_detections: int = 100


@dataclass(frozen=True)
class SSD:
    """SSD (Liu et al. 2015) on the six maps of an extended MobileNet; for a canvas of 300."""

    backbone: MobileNet = MobileNet()
    num_classes: int = 20
    # sides in pixels of the canvas, one per map; all but the finest add a square up to the next
    prior_sizes: tuple[float, ...] = (60, 105, 150, 195, 240, 285, 300)
    foreground_iou: float = 0.5
    negatives: float = 3.0  # hardest background priors that count, per foreground prior
    score_threshold: float = 0.01
    pre_nms: int = 400  # boxes kept per class
    nms_iou: float = 0.45
    max_detections: int = 200
