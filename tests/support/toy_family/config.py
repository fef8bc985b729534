"""The settings of the toy family and of its backbone."""

from __future__ import annotations

from dataclasses import dataclass

from kdet.config import ModelConfig


@dataclass(frozen=True)
class PlainNet:
    """A backbone of 3x3 convolutions with stride 2; its norms are trained."""

    width: int = 8  # channels of the first map; each further map has twice as many


@dataclass(frozen=True)
class CentreNet(ModelConfig):
    """A detector of centre points (after Zhou et al. 2019), as small as possible."""

    backbone: PlainNet = PlainNet()
    num_classes: int = 80
    score_threshold: float = 0.01
    nms_iou: float = 0.5
    max_detections: int = 20
