"""The settings of a recipe: frozen dataclasses that need only the standard library.

A recipe (`recipes/*.py`) is one `Recipe` value, and it defines everything about a row of the zoo.
Sizes are (height, width) in pixels. Lengths of a schedule are counted in images, so another batch
size changes nothing else. The argument `changes` of a function sets fields of the config that the
function returns. Impossible values raise `kdet.errors.ConfigError`.
"""

from kdet.config.augment import Augment
from kdet.config.backbones import (
    R50,
    R50_VD,
    R101,
    R101_VD,
    SE154_VD,
    X101_VD_64X4D,
    DarkNet,
    MobileNet,
    ResNet,
)
from kdet.config.labels import LabelMap
from kdet.config.rcnn import CASCADE_GROUPS, RCNN, SENET_GROUPS, c4_rcnn
from kdet.config.recipe import (
    DETECTRON_GROUPS,
    Data,
    ModelConfig,
    Optimizer,
    ParamGroup,
    Recipe,
    Schedule,
    coco_data,
    detectron,
    stretched_data,
)
from kdet.config.retinanet import RetinaNet
from kdet.config.ssd import SSD, SSD_GROUPS, ssd_120e, ssd_augment, ssd_data
from kdet.config.yolov3 import YOLO_GROUPS, YOLOv3, yolo_270e, yolo_augment, yolo_data

__all__ = [
    "CASCADE_GROUPS",
    "DETECTRON_GROUPS",
    "R101",
    "R101_VD",
    "R50",
    "R50_VD",
    "RCNN",
    "SE154_VD",
    "SENET_GROUPS",
    "SSD",
    "SSD_GROUPS",
    "X101_VD_64X4D",
    "YOLO_GROUPS",
    "Augment",
    "DarkNet",
    "Data",
    "LabelMap",
    "MobileNet",
    "ModelConfig",
    "Optimizer",
    "ParamGroup",
    "Recipe",
    "ResNet",
    "RetinaNet",
    "Schedule",
    "YOLOv3",
    "c4_rcnn",
    "coco_data",
    "detectron",
    "ssd_120e",
    "ssd_augment",
    "ssd_data",
    "stretched_data",
    "yolo_270e",
    "yolo_augment",
    "yolo_data",
]
