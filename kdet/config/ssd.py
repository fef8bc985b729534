"""The settings of SSD and of its published recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kdet.config.augment import CROPS, Augment
from kdet.config.backbones import MobileNet
from kdet.config.recipe import (
    Data,
    ModelConfig,
    ParamGroup,
    Recipe,
    Schedule,
    stretched_data,
)
from kdet.config.synthetic import synthetic_recipe


@dataclass(frozen=True)
class SSD(ModelConfig):
    """SSD (Liu et al. 2015) on six feature maps of a MobileNet with extra layers, for 300x300."""

    RENAMED = {
        "pre_nms": "pre_nms_top_n_per_class",
        "negatives": "negatives_per_positive",
    }

    backbone: MobileNet = MobileNet()
    num_classes: int = 20
    # sides of priors in pixels: one per map, and one more for the largest prior of the last map
    prior_sizes: tuple[float, ...] = (60, 105, 150, 195, 240, 285, 300)
    foreground_iou: float = 0.5
    negatives_per_positive: float = 3.0  # background priors in the loss, largest loss first
    score_threshold: float = 0.01
    pre_nms_top_n_per_class: int = 400
    nms_iou: float = 0.45
    max_detections: int = 200

    def start_weights(self) -> str | None:
        """A detector that was trained on COCO, for the backbone that it has."""
        return "ssd_mobilenet_v1_coco_pretrained.tar" if self.backbone.width == 1.0 else None

    def fits_int8(self) -> bool:
        """Exports in 8-bit integers are nearly as good, see docs/deploy.md."""
        return True

    def synthetic(self, recipe: Recipe) -> Recipe:
        """The recipe for the synthetic data set, with the canvas size that the six maps need."""
        small = synthetic_recipe(recipe, side=300, base_lr=0.0001)
        # the row's parameter groups lower the learning rate of the pretrained backbone
        return replace(small, optimizer=replace(small.optimizer, param_groups=()))


def ssd_augment(**changes) -> Augment:
    """The augmentation of the SSD row. Its hue of 18 of Pillow's 255 steps is 25.4 degrees."""
    settings = {
        "brightness": 0.125,
        "contrast": 0.5,
        "saturation": 0.5,
        "hue": 18 / 255 * 360,
        "expand": 0.5,
        "fill": (127, 127, 127),
        "crops": CROPS,
        "crop_clamps": True,
    }
    return Augment(**{**settings, **changes})


def ssd_data(**changes) -> Data:
    """The data settings of the SSD row on VOC: 300x300, BGR, (pixel - 127.5) / 127.502231."""
    grey = {"channels": "BGR", "mean": (0.5,) * 3, "std": (127.502231 / 255,) * 3}
    settings = {"dataset": "voc", "interpolation": "lanczos", "corners": "edges", "max_boxes": 64}
    settings["augment"] = ssd_augment()
    return stretched_data(300, **{**settings, **grey, **changes})


def ssd_120e() -> Schedule:
    """The schedule of the SSD row: 28,000 steps of 64 images, five rates, no warm-up."""
    return Schedule(
        images=28_000 * 64,
        milestones=tuple(64_000 * k for k in (10, 15, 20, 25)),
        milestone_factors=(0.5, 0.25, 0.1, 0.01),
        base_lr=0.001,
        batch=64,
        base_batch=64,
        warmup_images=0,
    )


# Convolutions before the head have a tenth of the learning rate. Norms have no weight decay.
SSD_GROUPS = (
    ParamGroup(r"^conv\d\w*/kernel$", 0.1, 1.0),
    ParamGroup(r"/(gamma|beta)$", 1.0, 0.0),
)
