"""What a recipe can say: frozen dataclasses, standard library only.

A recipe (`recipes/*.py`) is one `Recipe` value; it is the only source of what a zoo row is.
Sizes are (height, width) in pixels; lengths of a schedule are counted in images, so that another
batch size changes nothing else.
"""

from kdet.config.augment import Augment, ssd_augment, yolo_augment
from kdet.config.data import Data, coco, ssd_data, stretched, yolo_data
from kdet.config.errors import ConfigError
from kdet.config.labels import LabelMap
from kdet.config.models import (
    R50,
    R50_VD,
    R101,
    R101_VD,
    SE154_VD,
    SSD,
    X101_VD_64X4D,
    DarkNet,
    MobileNet,
    ResNet,
    RetinaNet,
    YOLOv3,
)
from kdet.config.rcnn import CASCADE_RULES, RCNN, SENET_RULES, c4
from kdet.config.recipe import Model, Recipe, drawn
from kdet.config.training import (
    DETECTRON_RULES,
    SSD_RULES,
    YOLO_RULES,
    Optimizer,
    Rule,
    Schedule,
    detectron,
    ssd_120e,
    yolo_270e,
)

__all__ = [
    "CASCADE_RULES",
    "DETECTRON_RULES",
    "R50",
    "R101",
    "R101_VD",
    "R50_VD",
    "RCNN",
    "SE154_VD",
    "SENET_RULES",
    "SSD",
    "SSD_RULES",
    "X101_VD_64X4D",
    "YOLO_RULES",
    "Augment",
    "ConfigError",
    "DarkNet",
    "Data",
    "LabelMap",
    "MobileNet",
    "Model",
    "Optimizer",
    "Recipe",
    "ResNet",
    "RetinaNet",
    "Rule",
    "Schedule",
    "YOLOv3",
    "c4",
    "coco",
    "detectron",
    "drawn",
    "ssd_120e",
    "ssd_augment",
    "ssd_data",
    "stretched",
    "yolo_270e",
    "yolo_augment",
    "yolo_data",
]
