"""RetinaNet (Lin et al. 2017) has an FPN, two towers that all levels share, and focal loss."""

import re

from kdet.config import RetinaNet
from kdet.models.family import ClassAxis, Family
from kdet.models.retinanet import detections, fit, losses, network

FAMILY = Family(
    config=RetinaNet,
    network=network.network,
    detections=detections.detections,
    targets=losses.targets,
    losses=losses.losses,
    class_axes=lambda config: {r"^retina_head/class_output/": ClassAxis(fixed=0)},
    head_layers=re.compile(r"^(fpn|retina_head)/"),
    reference_names=(
        (r"^fpn/coarse_(\d)/", r"fpn_\1_"),
        (r"^retina_head/class_tower_(\d)/", r"retnet_cls_conv_n\1_fpn3_"),
        (r"^retina_head/class_output/", "retnet_cls_pred_fpn3_"),
        (r"^retina_head/box_tower_(\d)/", r"retnet_bbox_conv_n\1_fpn3_"),
        (r"^retina_head/box_output/", "retnet_bbox_pred_fpn3_"),
    ),
    best_iou=fit.best_iou,
    fit_anchors=fit.fit_anchors,
    smallest_object=fit.SMALLEST,
)
