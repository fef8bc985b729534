"""A toy family: it shows what a new family needs, and that it needs nothing else."""

import re

from kdet.models.family import ClassAxis, Family
from toy_family import detections, losses, network
from toy_family.backbone import NAMES
from toy_family.config import CentreNet

FAMILY = Family(
    config=CentreNet,
    network=network.network,
    detections=detections.detections,
    targets=losses.targets,
    losses=losses.losses,
    class_axes=lambda config: {r"^centre_class/": ClassAxis(fixed=0)},
    head_layers=re.compile(r"^centre_"),
    reference_names=((r"^(centre_\w+)/", r"\1_"), *NAMES),
)
