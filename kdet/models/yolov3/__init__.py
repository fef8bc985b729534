"""YOLOv3 (Redmon and Farhadi 2018), with grids on three levels and three anchors per cell."""

import re

from kdet.config import DarkNet, YOLOv3
from kdet.config.synthetic import synthetic_recipe
from kdet.models.family import ClassAxis, Family
from kdet.models.yolov3 import detections, fit, losses, network


def synthetic(recipe):
    """The recipe for the synthetic data set, with more steps for DarkNet, which learns slowly."""
    if isinstance(recipe.model.backbone, DarkNet):
        return synthetic_recipe(
            recipe, side=96, base_lr=0.0001, images=3200, milestones=(2700, 3050)
        )
    return synthetic_recipe(recipe, base_lr=0.0001)


FAMILY = Family(
    config=YOLOv3,
    network=network.network,
    detections=detections.detections,
    targets=losses.targets,
    losses=losses.losses,
    synthetic=synthetic,
    # x, y, w, h and objectness of each anchor come before its classes
    class_axes=lambda config: {r"^yolo_output\.\d\.conv/": ClassAxis(fixed=5)},
    head_layers=re.compile(r"^yolo_(block|transition|output)"),
    best_iou=fit.best_iou,
    fit_anchors=fit.fit_anchors,
    smallest_object=fit.SMALLEST,
)
