"""SSD (Liu et al. 2015) on MobileNet, with prior boxes on six maps and hard negative mining."""

import re

from kdet.config import SSD
from kdet.models.family import ClassAxis, Family
from kdet.models.ssd import detections, fit, losses, network

# The reference's head has the automatic names conv2d_22 to conv2d_33. Each of the six maps has one
# convolution for boxes and one for classes.
AUTOMATIC, HEAD_NUMBERS = re.compile(r"^conv2d_(\d+)\.([wb]_0)$"), range(22, 34)


def usual_head_names(tensors: dict) -> dict:
    """Renames the twelve convolutions of a head with other automatic numbers, in their order."""
    found = {name: match for name in tensors if (match := AUTOMATIC.match(name))}
    numbers = sorted({int(match[1]) for match in found.values()})
    if len(numbers) != len(HEAD_NUMBERS) or numbers == list(HEAD_NUMBERS):
        return tensors
    usual = dict(zip(numbers, HEAD_NUMBERS))
    return {
        f"conv2d_{usual[int(found[name][1])]}.{found[name][2]}" if name in found else name: tensor
        for name, tensor in tensors.items()
    }


FAMILY = Family(
    config=SSD,
    network=network.network,
    detections=detections.detections,
    targets=losses.targets,
    losses=losses.losses,
    class_axes=lambda config: {r"^ssd_class_\d/": ClassAxis(fixed=1)},  # background
    head_layers=re.compile(r"^(ssd_|conv7_)"),
    reference_names=tuple(
        (rf"^ssd_{part}_{number}/", f"conv2d_{22 + 2 * number + second}.")
        for number in range(6)
        for second, part in enumerate(("box", "class"))
    ),
    rename_stored=usual_head_names,
    best_iou=fit.best_iou,
    fit_anchors=fit.fit_anchors,
    smallest_object=fit.SMALLEST,
)
