"""The list of families. A new family needs its own package in kdet.models and an entry here."""

from kdet.errors import ConfigError
from kdet.models import rcnn, retinanet, ssd, yolov3
from kdet.models.family import Family

FAMILIES = [rcnn.FAMILY, retinanet.FAMILY, ssd.FAMILY, yolov3.FAMILY]


def family_of(config) -> Family:
    """The family of a model config. Raises ConfigError if no family has this config."""
    for family in FAMILIES:
        if type(config) is family.config:
            return family
    known = ", ".join(family.config.__name__ for family in FAMILIES)
    raise ConfigError(f"expected a model config of {known}; got {type(config).__name__}")
