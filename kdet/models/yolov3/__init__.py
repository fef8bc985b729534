"""YOLOv3 (Redmon and Farhadi 2018), with grids on three levels and three anchors per cell."""

import re

from kdet.config import YOLOv3
from kdet.models.family import ClassAxis, Family
from kdet.models.yolov3 import detections, fit, losses, network

FAMILY = Family(
    config=YOLOv3,
    network=network.network,
    detections=detections.detections,
    targets=losses.targets,
    losses=losses.losses,
    # x, y, w, h and objectness of each anchor come before its classes
    class_axes=lambda config: {r"^yolo_output\.\d\.conv/": ClassAxis(fixed=5)},
    head_layers=re.compile(r"^yolo_(block|transition|output)"),
    best_iou=fit.best_iou,
    fit_anchors=fit.fit_anchors,
    fit_settings=fit.fit_settings,
    smallest_object=fit.SMALLEST,
)
