"""Faster, Mask and Cascade R-CNN (Ren et al. 2015 and later), on a pyramid or on one map."""

import re

from kdet.config import RCNN
from kdet.models.family import ClassAxis, Family
from kdet.models.rcnn import detections, fit, losses, network


def class_axes(config):
    """Background comes before the classes; the boxes of a cascade are shared by all classes."""
    axes = {r"^(box_head_\d/class_output|mask_head/output)/": ClassAxis(fixed=1)}
    if not config.cascade:
        axes[r"^box_head_\d/box_output/"] = ClassAxis(fixed=4, unit=4)
    return axes


FAMILY = Family(
    config=RCNN,
    network=network.network,
    detections=detections.detections,
    targets=losses.targets,
    losses=losses.losses,
    training_model=network.training_model,
    class_axes=class_axes,
    head_layers=re.compile(r"^(fpn/|rpn_head|box_head|mask_head)"),
    reference_names=(
        *(
            (rf"^rpn_head{neck}/{ours}/", f"{theirs}{suffix}_")
            for neck, suffix in (("_c4", ""), ("", "_fpn2"))
            for ours, theirs in (
                ("conv", "conv_rpn"),
                ("class_output", "rpn_cls_logits"),
                ("box_output", "rpn_bbox_pred"),
            )
        ),
        *(
            (rf"^box_head_{stage}/{ours}/", f"{theirs}{suffix}_")
            for stage, suffix in ((1, ""), (2, "_2"), (3, "_3"))
            for ours, theirs in (
                ("fc6", "fc6"),
                ("fc7", "fc7"),
                ("class_output", "cls_score"),
                ("box_output", "bbox_pred"),
            )
        ),
        (r"^mask_head/conv_(\d)/", r"mask_inter_feat_\1_"),
        (r"^mask_head/upsample/", "conv5_mask_"),
        (r"^mask_head/output/", "mask_fcn_logits_"),
    ),
    best_iou=fit.best_iou,
    fit_anchors=fit.fit_anchors,
    fit_settings=fit.fit_settings,
    smallest_object=fit.SMALLEST,
)
