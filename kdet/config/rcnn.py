"""R-CNN's settings: Faster, Mask and Cascade R-CNN are switches of one architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kdet.config.backbones import R50, ResNet
from kdet.config.checks import one_of
from kdet.config.recipe import DETECTRON_GROUPS, ModelConfig, ParamGroup
from kdet.errors import ConfigError


class Stage(NamedTuple):
    """One box head: foreground IoU, weight of its losses, variances of its deltas."""

    foreground_iou: float
    loss_weight: float
    variances: tuple[float, float, float, float]


@dataclass(frozen=True)
class RCNN(ModelConfig):
    """Faster R-CNN (Ren et al. 2015), and Mask and Cascade R-CNN built on it.

    `rpn_pre_nms_top_n_*` are anchors per pyramid level, `rpn_post_nms_top_n_*` proposals per image.
    """

    backbone: ResNet = R50
    neck: str = "fpn"  # "fpn": P2-P6, two-layer heads | "c4": one map, stage 5 as the head
    mask: bool = False  # Mask R-CNN (He et al. 2017)
    cascade: bool = False  # Cascade R-CNN (Cai and Vasconcelos 2018): three box heads in a row
    num_classes: int = 80  # background not counted
    width: int = 256  # channels of the pyramid and the mask head
    head_width: int = 1024  # of the two fully connected layers of a box head
    # region proposal network
    anchor_scale: float = 1.0  # of the anchors' sides, 32 to 512 pixels of the resized image
    rpn_foreground_iou: float = 0.7
    rpn_background_iou: float = 0.3
    rpn_batch_size: int = 256  # anchors sampled per image
    rpn_positive_fraction: float = 0.5  # at most this share of them foreground
    rpn_smooth_l1_sigma: float = 3.0
    rpn_pre_nms_top_n_train: int = 2000
    rpn_post_nms_top_n_train: int = 2000
    rpn_pre_nms_top_n_test: int = 1000
    rpn_post_nms_top_n_test: int = 1000
    rpn_nms_iou: float = 0.7
    clip_proposals: str = "canvas"  # in inference, to: "canvas", the padded image | "image"
    # box heads
    roi_batch_size: int = 512  # proposals sampled per image
    roi_positive_fraction: float = 0.25
    sampling: str = "random"  # "random": by the batch's "sample_seed" | "first" candidates
    score_threshold: float = 0.05
    pre_nms_top_n: int = 5000  # (box, class) pairs per image
    nms_iou: float = 0.5
    max_detections: int = 100

    def __post_init__(self):
        one_of(self, "neck", ("fpn", "c4"))
        one_of(self, "clip_proposals", ("canvas", "image"))
        one_of(self, "sampling", ("random", "first"))
        if self.cascade and (self.neck == "c4" or self.mask):
            raise ConfigError("RCNN.cascade needs neck='fpn' and mask=False: no such row exists")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The box heads in order: one, or three of a cascade."""
        settings = ((0.5, 1.0, 10.0), (0.6, 0.5, 20.0), (0.7, 0.25, 30.0))
        return tuple(
            Stage(iou, weight, (1 / scale, 1 / scale, 2 / scale, 2 / scale))
            for iou, weight, scale in settings[: 3 if self.cascade else 1]
        )

    @property
    def mask_size(self) -> int:
        """Side of the predicted masks in pixels."""
        return 28 if self.neck == "fpn" else 14

    @property
    def mask_rois(self) -> int:
        """Foreground proposals per training image that the mask head sees, at most."""
        return int(self.roi_batch_size * self.roi_positive_fraction)


def c4_rcnn(backbone: ResNet = R50, **changes) -> RCNN:
    """An R-CNN on one map of stride 16, with the proposal counts of those rows."""
    settings = {
        "neck": "c4",
        "rpn_pre_nms_top_n_train": 12000,
        "rpn_pre_nms_top_n_test": 6000,
        "clip_proposals": "image",
    }
    return RCNN(backbone, **{**settings, **changes})


# A cascade's losses are weighted 1, 1/2, 1/4; its later heads learn at 2 and 4 times the rate.
CASCADE_GROUPS = (
    ParamGroup(r"^box_head_2/.*/bias$", 4.0, 0.0),
    ParamGroup(r"^box_head_2/", 2.0),
    ParamGroup(r"^box_head_3/.*/bias$", 8.0, 0.0),
    ParamGroup(r"^box_head_3/", 4.0),
    *DETECTRON_GROUPS,
)
# The small layers of SENet belong to the backbone: their biases learn and decay like kernels.
SENET_GROUPS = (ParamGroup(r"^fc\d_\d+_(sqz|exc)/bias$"), *DETECTRON_GROUPS)
