"""The settings of RetinaNet."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kdet.config.backbones import R50, ResNet
from kdet.config.checks import one_of
from kdet.config.recipe import ModelConfig, Recipe
from kdet.config.synthetic import synthetic_recipe


@dataclass(frozen=True)
class RetinaNet(ModelConfig):
    """RetinaNet (Lin et al. 2017) with FPN levels P3-P7, which share two convolutional towers."""

    RENAMED = {
        "pre_nms": "pre_nms_top_n_per_level",
    }

    backbone: ResNet = R50
    num_classes: int = 80
    width: int = 256  # channels of the pyramid and the towers
    depth: int = 4  # convolutions per tower
    tower_init: float = 0.01  # standard deviation of the towers' initial kernels
    anchor_scale: float = 1.0  # factor of the anchors' sides, which are 32 to 813 pixels
    foreground_iou: float = 0.5
    background_iou: float = 0.4
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    smooth_l1_sigma: float = 3.0151134457776365  # quadratic below 1 / sigma^2 = 0.11
    score_threshold: float = 0.05  # the coarsest level keeps all scores above 0 instead
    pre_nms_top_n_per_level: int = 1000  # (anchor, class) pairs that enter NMS
    nms_iou: float = 0.5
    max_detections: int = 100
    clip_to: str = "canvas"  # area that boxes are clipped to: "canvas" (padded image) | "image"

    def __post_init__(self):
        one_of(self, "clip_to", ("canvas", "image"))

    def synthetic(self, recipe: Recipe) -> Recipe:
        """The recipe for the synthetic data set, on a small canvas with anchors to match.

        With kernels of the usual 0.01, each convolution of a tower shrinks its inputs to a third.
        From random weights, larger kernels learn much faster.
        """
        small = synthetic_recipe(recipe, side=96, images=1920)
        schedule = replace(small.schedule, milestones=(), decay_kind="cosine")
        model = replace(small.model, anchor_scale=0.75, tower_init=0.02)
        return replace(small, model=model, schedule=schedule)
