"""YOLOv3's network, a backbone with predictions on three levels."""

import math

import keras
from keras import layers

from kdet.backbones.darknet import darknet, leaky_conv
from kdet.backbones.mobilenet import mobilenet
from kdet.backbones.resnet import resnet
from kdet.config import DarkNet, MobileNet, ResNet
from kdet.layers.conv_norm import he_normal
from kdet.models.yolov3.grid import level_anchors

BACKBONES = {DarkNet: darknet, MobileNet: mobilenet, ResNet: resnet}


def network(config):
    """Image -> predictions on three levels.

    Args:
        config: `kdet.config.YOLOv3`.
    Returns:
        keras.Model: (B, H, W, 3) normalised RGB, sides multiples of 32 -> {"P3": (B, H/8, W/8,
        3 * (5 + K)), "P4": stride 16, "P5": stride 32}; per anchor x, y, w, h, objectness, classes.
    """
    image = keras.Input((None, None, 3), name="image")
    features = BACKBONES[type(config.backbone)](image, config.backbone, levels=(3, 4, 5))
    outputs, x = {}, features["C5"]
    for index, level in enumerate((5, 4, 3)):
        width = 512 // 2**index
        if index:
            x = leaky_conv(x, width, 1, f"yolo_transition.{index - 1}")
            x = layers.UpSampling2D(2, name=f"yolo_upsample.{index - 1}")(x)
            # the upsampled map comes first, as in the reference
            x = layers.Concatenate(name=f"yolo_concat.{index - 1}")([x, features[f"C{level}"]])
        for pair in range(2):
            x = leaky_conv(x, width, 1, f"yolo_block.{index}.{pair}.0")
            x = leaky_conv(x, 2 * width, 3, f"yolo_block.{index}.{pair}.1")
        x = leaky_conv(x, width, 1, f"yolo_block.{index}.2")
        tip = leaky_conv(x, 2 * width, 3, f"yolo_block.{index}.tip")
        anchors = level_anchors(config.anchors, f"P{level}")
        bias = _bias(config) * len(anchors)
        outputs[f"P{level}"] = layers.Conv2D(
            len(bias),
            1,
            kernel_initializer=he_normal(1, 2 * width),
            bias_initializer=keras.initializers.Constant(bias),
            name=f"yolo_output.{index}.conv",
        )(tip)
    return keras.Model(image, outputs, name="yolov3")


def _bias(config):
    """The first bias of the outputs of an anchor, [5 + K] floats."""
    prior = config.objectness_prior
    return [0.0] * 4 + [math.log(prior / (1 - prior))] + [0.0] * config.num_classes
