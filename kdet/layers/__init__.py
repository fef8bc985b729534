"""Keras layers that several families share. The layers of one family are in kdet.models.

`import kdet.models` registers all layers of kdet with Keras, which `keras.models.load_model` needs.
"""

from kdet.layers.base import ConfiguredLayer, Decoder
from kdet.layers.conv_norm import BatchNorm, FrozenNormConv2D
from kdet.layers.depthwise import DepthwiseNorm
from kdet.layers.fpn import FPN
from kdet.layers.merge import Add
from kdet.layers.roi_align import RoIAlign
from kdet.layers.wide_conv import Conv2D

__all__ = [
    "FPN",
    "Add",
    "BatchNorm",
    "ConfiguredLayer",
    "Decoder",
    "DepthwiseNorm",
    "FrozenNormConv2D",
    "RoIAlign",
    "Conv2D",
]
