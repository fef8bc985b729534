"""The two-stage family: Faster, Mask and Cascade R-CNN are switches of one architecture."""

from __future__ import annotations

from dataclasses import dataclass

from kdet.config.errors import ConfigError, one_of
from kdet.config.models import R50, ResNet
from kdet.config.training import DETECTRON_RULES, Rule


@dataclass(frozen=True)
class RCNN:
    """Faster R-CNN (Ren et al. 2015) and what was built on it.

    `proposals_*` are (kept before suppression per pyramid level, kept after it per image).
    """

    backbone: ResNet = R50
    neck: str = "fpn"  # "fpn": P2-P6, two-layer heads | "c4": one map, stage 5 as the head
    mask: bool = False  # Mask R-CNN (He et al. 2017)
    cascade: bool = False  # Cascade R-CNN (Cai and Vasconcelos 2018): three box heads in a row
    num_classes: int = 80  # background not counted
    width: int = 256  # channels of the pyramid and the mask head
    head_width: int = 1024  # of the two fully connected layers of a box head
    # region proposals
    anchor_scale: float = 1.0  # of the anchors' sides, 32 to 512 pixels of the resized image
    rpn_foreground_iou: float = 0.7
    rpn_background_iou: float = 0.3
    rpn_batch: int = 256  # anchors sampled per image
    rpn_foreground: float = 0.5  # at most this share of them foreground
    rpn_sigma: float = 3.0  # of smooth L1
    proposals_train: tuple[int, int] = (2000, 2000)
    proposals_test: tuple[int, int] = (1000, 1000)
    proposals_nms: float = 0.7
    clip_proposals: str = "canvas"  # in inference: "canvas", the padded image | "image"
    # box heads
    roi_batch: int = 512  # proposals sampled per image
    roi_foreground: float = 0.25
    sampling: str = "random"  # "random": uniform, of the batch's "sample_seed" | "first"
    score_threshold: float = 0.05
    pre_nms: int = 5000  # (box, class) pairs that enter the final suppression
    nms_iou: float = 0.5
    max_detections: int = 100

    def __post_init__(self):
        one_of(self, "neck", ("fpn", "c4"))
        one_of(self, "clip_proposals", ("canvas", "image"))
        one_of(self, "sampling", ("random", "first"))
        if self.cascade and (self.neck == "c4" or self.mask):
            raise ConfigError("RCNN.cascade needs neck='fpn' and mask=False: no such row exists")

    @property
    def stages(self) -> tuple[tuple[float, float, tuple[float, float, float, float]], ...]:
        """Per box head: foreground IoU, loss weight, variances of its deltas."""
        weights = ((0.5, 1.0, 10.0), (0.6, 0.5, 20.0), (0.7, 0.25, 30.0))
        return tuple(
            (iou, weight, (1 / scale, 1 / scale, 2 / scale, 2 / scale))
            for iou, weight, scale in weights[: 3 if self.cascade else 1]
        )

    @property
    def mask_size(self) -> int:
        """Side of the predicted masks in pixels."""
        return 28 if self.neck == "fpn" else 14

    @property
    def mask_rois(self) -> int:
        """Foreground proposals per training image that the mask head sees, at most."""
        return int(self.roi_batch * self.roi_foreground)


def c4(backbone: ResNet = R50, **changes) -> RCNN:
    """An R-CNN on one map of stride 16, with the proposal counts of those rows."""
    facts = {
        "neck": "c4",
        "proposals_train": (12000, 2000),
        "proposals_test": (6000, 1000),
        "clip_proposals": "image",
    }
    return RCNN(backbone, **{**facts, **changes})


# A cascade's losses are weighted 1, 1/2, 1/4; its later heads learn at 2 and 4 times the rate.
CASCADE_RULES = (
    Rule(r"^box_head_2/.*/bias$", 4.0, 0.0),
    Rule(r"^box_head_2/", 2.0),
    Rule(r"^box_head_3/.*/bias$", 8.0, 0.0),
    Rule(r"^box_head_3/", 4.0),
    *DETECTRON_RULES,
)
# The small layers of SENet belong to the backbone: their biases learn and decay like kernels.
SENET_RULES = (Rule(r"^fc\d_\d+_(sqz|exc)/bias$"), *DETECTRON_RULES)
