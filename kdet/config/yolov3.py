"""The settings of YOLOv3 and of its published recipes."""

from __future__ import annotations

from dataclasses import dataclass

from kdet.config.augment import CROPS, Augment
from kdet.config.backbones import DarkNet, MobileNet, ResNet
from kdet.config.recipe import (
    Data,
    ModelConfig,
    ParamGroup,
    Recipe,
    Schedule,
    stretched_data,
)
from kdet.config.synthetic import synthetic_recipe

# nine (width, height) in pixels, three for each level; P3 comes first
YOLO_ANCHORS = (
    (10, 13), (16, 30), (33, 23),
    (30, 61), (62, 45), (59, 119),
    (116, 90), (156, 198), (373, 326),
)  # fmt: skip


@dataclass(frozen=True)
class YOLOv3(ModelConfig):
    """YOLOv3 (Redmon and Farhadi 2018) with three levels and three anchors per level."""

    RENAMED = {
        "pre_nms": "pre_nms_top_n_per_class",
    }

    backbone: DarkNet | MobileNet | ResNet = DarkNet()
    num_classes: int = 80
    anchors: tuple[tuple[float, float], ...] = YOLO_ANCHORS
    ignore_iou: float = 0.7  # predictions with a larger IoU with an object are not negatives
    label_smoothing: bool = True
    objectness_prior: float = 0.5  # the objectness that new layers predict before training
    score_threshold: float = 0.01  # lower limit of the score, and of the objectness alone
    pre_nms_top_n_per_class: int = 1000  # boxes that enter NMS
    nms_iou: float = 0.45
    max_detections: int = 100

    def fits_int8(self) -> bool:
        """Exports in 8-bit integers are nearly as good, see docs/deploy.md."""
        return True

    def synthetic(self, recipe: Recipe) -> Recipe:
        """The recipe for the synthetic data set, with more steps for DarkNet: it learns slowly."""
        if isinstance(self.backbone, DarkNet):
            return synthetic_recipe(
                recipe, side=96, base_lr=0.0001, images=3200, milestones=(2700, 3050)
            )
        return synthetic_recipe(recipe, base_lr=0.0001)


def yolo_augment(**changes) -> Augment:
    """The augmentation of the YOLOv3 rows. Mixup stops after 250 epochs of 118,287 images."""
    settings = {
        "mixup": 1.5,
        "mixup_images": 250 * 118_287,
        "contrast": 0.5,
        "contrast_about": "black",
        "saturation": 0.5,
        "hue": 180.0,
        "expand": 0.5,
        "fill": (123, 116, 103),
        "crops": CROPS,
        "methods": ("nearest", "linear", "cubic", "area", "lanczos4"),
        "min_side": 320,
    }
    return Augment(**{**settings, **changes})


def yolo_data(**changes) -> Data:
    """The data settings of the YOLOv3 rows on COCO: 608x608, the first 50 objects per image."""
    settings = {"interpolation": "cubic", "max_boxes": 50, "truncate_boxes": True}
    settings["augment"] = yolo_augment()
    return stretched_data(608, **{**settings, **changes})


def yolo_270e() -> Schedule:
    """The schedule of the YOLOv3 rows: 500,200 steps of 64 images, 4,000 of them warm-up."""
    return Schedule(
        images=500_200 * 64,
        milestones=(400_000 * 64, 450_000 * 64),
        base_lr=0.001,
        batch=64,
        base_batch=64,
        warmup_images=4000 * 64,
        warmup_factor=0.0,
    )


# norms and the biases of the output layers have no weight decay
YOLO_GROUPS = (ParamGroup(r"/(gamma|beta|bias)$", 1.0, 0.0),)
