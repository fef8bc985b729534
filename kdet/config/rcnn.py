"""The settings of R-CNN. Faster, Mask and Cascade R-CNN are options of one architecture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from kdet.config.backbones import R50, ResNet
from kdet.config.checks import one_of
from kdet.config.recipe import DETECTRON_GROUPS, ModelConfig, ParamGroup, Recipe
from kdet.config.synthetic import synthetic_recipe
from kdet.errors import ConfigError


class Stage(NamedTuple):
    """The settings of one box head: foreground IoU, loss weight and variances of the deltas."""

    foreground_iou: float
    loss_weight: float
    variances: tuple[float, float, float, float]


@dataclass(frozen=True)
class RCNN(ModelConfig):
    """Faster R-CNN (Ren et al. 2015), and Mask and Cascade R-CNN, which extend it.

    `rpn_pre_nms_top_n_*` count anchors per pyramid level. `rpn_post_nms_top_n_*` count proposals
    per image.
    """

    RENAMED = {
        "pre_nms": "pre_nms_top_n",
        "rpn_batch": "rpn_batch_size",
        "rpn_foreground": "rpn_positive_fraction",
        "rpn_sigma": "rpn_smooth_l1_sigma",
        "proposals_train": ("rpn_pre_nms_top_n_train", "rpn_post_nms_top_n_train"),
        "proposals_test": ("rpn_pre_nms_top_n_test", "rpn_post_nms_top_n_test"),
        "proposals_nms": "rpn_nms_iou",
        "roi_batch": "roi_batch_size",
        "roi_foreground": "roi_positive_fraction",
    }

    backbone: ResNet = R50
    neck: str = "fpn"  # "fpn": P2-P6, two-layer heads | "c4": one map, stage 5 as the head
    mask: bool = False  # Mask R-CNN (He et al. 2017)
    cascade: bool = False  # Cascade R-CNN (Cai and Vasconcelos 2018): three box heads in a row
    num_classes: int = 80  # without background
    width: int = 256  # channels of the pyramid and the mask head
    head_width: int = 1024  # units of each of the two dense layers of a box head
    # region proposal network
    anchor_scale: float = 1.0  # factor of the anchors' sides, which are 32 to 512 pixels
    rpn_foreground_iou: float = 0.7
    rpn_background_iou: float = 0.3
    rpn_batch_size: int = 256  # anchors sampled per image
    rpn_positive_fraction: float = 0.5  # largest share of foreground anchors among them
    rpn_smooth_l1_sigma: float = 3.0
    rpn_pre_nms_top_n_train: int = 2000
    rpn_post_nms_top_n_train: int = 2000
    rpn_pre_nms_top_n_test: int = 1000
    rpn_post_nms_top_n_test: int = 1000
    rpn_nms_iou: float = 0.7
    clip_proposals: str = "canvas"  # area that inference clips to: "canvas" (padded) | "image"
    # box heads
    roi_batch_size: int = 512  # proposals sampled per image
    roi_positive_fraction: float = 0.25  # largest share of foreground proposals among them
    sampling: str = "random"  # "random": drawn by "sample_seed" | "first": the first candidates
    score_threshold: float = 0.05
    pre_nms_top_n: int = 5000  # (box, class) pairs per image that enter NMS
    nms_iou: float = 0.5
    max_detections: int = 100

    def __post_init__(self):
        one_of(self, "neck", ("fpn", "c4"))
        one_of(self, "clip_proposals", ("canvas", "image"))
        one_of(self, "sampling", ("random", "first"))
        if self.cascade and (self.neck == "c4" or self.mask):
            raise ConfigError("RCNN.cascade needs neck='fpn' and mask=False")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The box heads in order. There is one, or there are three in a cascade."""
        # foreground IoU, loss weight, scale of the deltas; later heads get boxes that fit better
        settings = ((0.5, 1.0, 10.0), (0.6, 0.5, 20.0), (0.7, 0.25, 30.0))
        return tuple(
            Stage(iou, weight, (1 / scale, 1 / scale, 2 / scale, 2 / scale))
            for iou, weight, scale in settings[: 3 if self.cascade else 1]
        )

    def needs_masks(self) -> bool:
        """Whether there is a mask head."""
        return self.mask

    def synthetic(self, recipe: Recipe) -> Recipe:
        """The recipe for the synthetic data set, whose images hold at most five objects."""
        # the heads train on the ground-truth boxes from the first step on, so half the steps
        # suffice
        small = synthetic_recipe(recipe, images=1280, milestones=(1040, 1200))
        c4 = self.neck == "c4"  # C4 heads are slow
        proposals = 30 if c4 else 50
        model = replace(
            small.model,
            rpn_pre_nms_top_n_train=200,
            rpn_post_nms_top_n_train=2 * proposals,
            rpn_pre_nms_top_n_test=200,
            rpn_post_nms_top_n_test=proposals,
            roi_batch_size=16 if c4 else 32,
        )
        return replace(small, model=model)

    @property
    def mask_size(self) -> int:
        """The side of the predicted masks in pixels."""
        return 28 if self.neck == "fpn" else 14

    @property
    def mask_rois(self) -> int:
        """The largest number of foreground proposals per training image for the mask head."""
        return int(self.roi_batch_size * self.roi_positive_fraction)


def c4_rcnn(backbone: ResNet = R50, **changes) -> RCNN:
    """An R-CNN on one feature map of stride 16, with the proposal counts of the C4 rows."""
    settings = {
        "neck": "c4",
        "rpn_pre_nms_top_n_train": 12000,
        "rpn_pre_nms_top_n_test": 6000,
        "clip_proposals": "image",
    }
    return RCNN(backbone, **{**settings, **changes})


# The losses of a cascade are weighted 1, 1/2, 1/4. The learning rates of the later heads are
# divided by these weights, so that a smaller weight does not slow them down.
CASCADE_GROUPS = (
    ParamGroup(r"^box_head_2/.*/bias$", 4.0, 0.0),
    ParamGroup(r"^box_head_2/", 2.0),
    ParamGroup(r"^box_head_3/.*/bias$", 8.0, 0.0),
    ParamGroup(r"^box_head_3/", 4.0),
    *DETECTRON_GROUPS,
)
# The squeeze-and-excitation layers belong to the backbone, so the rule for biases of the heads does
# not apply: their biases have the learning rate and the weight decay of kernels.
SENET_GROUPS = (ParamGroup(r"^fc\d_\d+_(sqz|exc)/bias$"), *DETECTRON_GROUPS)
