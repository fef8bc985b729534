"""MobileNet, version 1 (Howard et al. 2017).

The layers have the names of the reference's checkpoints. All activations are ReLU, not ReLU6.
"""

import keras
from keras import layers

from kdet.layers.conv_norm import conv_batch_norm
from kdet.layers.depthwise import DepthwiseNorm

# name -> (output channels, stride) of the separable convolutions
BLOCKS = {
    "conv2_1": (64, 1),
    "conv2_2": (128, 2),
    "conv3_1": (128, 1),
    "conv3_2": (256, 2),
    "conv4_1": (256, 1),
    "conv4_2": (512, 2),
    "conv5_1": (512, 1),
    "conv5_2": (512, 1),
    "conv5_3": (512, 1),
    "conv5_4": (512, 1),
    "conv5_5": (512, 1),
    "conv5_6": (1024, 2),
    "conv6": (1024, 1),
}
# the reference uses the first block of stride 8 and of stride 16, not the last one
LEVELS = {"conv3_2": "C3", "conv4_2": "C4", "conv6": "C5"}


def mobilenet(image, config, levels=(3, 4, 5)):
    """The feature maps of strides 8, 16 and 32 for YOLOv3.

    Args:
        image: (B, H, W, 3) Keras tensor.
        config: `kdet.config.MobileNet`.
        levels: 3, 4 or 5; the maps to return.
    Returns:
        {"C3": (B, H/8, W/8, 256), "C4": (B, H/16, W/16, 512), "C5": (B, H/32, W/32, 1024)},
        sides rounded up, channels times `config.width`.
    """
    maps = mobilenet_blocks(image, config)
    found = {level: maps[name] for name, level in LEVELS.items()}
    return {f"C{level}": found[f"C{level}"] for level in sorted(levels)}


def mobilenet_blocks(image, config):
    """The feature map after each block, {name in `BLOCKS`: map}; see `mobilenet`."""
    stage, maps = 1, {}
    trainable = stage > config.freeze_at
    x = relu_conv(image, scaled(32, config), 3, "conv1", strides=2, trainable=trainable)
    for name, (filters, strides) in BLOCKS.items():
        stage += strides - 1
        trainable = stage > config.freeze_at
        norm = DepthwiseNorm(3, strides, _uniform(3), trainable=trainable, name=f"{name}_dw")
        x = layers.ReLU(name=f"{name}_dw_relu")(norm(x))
        x = relu_conv(x, scaled(filters, config), 1, f"{name}_sep", trainable=trainable)
        maps[name] = x
    return maps


def scaled(filters, config):
    """`filters` times the width of `config`, rounded, at least 1."""
    return max(1, round(filters * config.width))


def relu_conv(x, filters, kernel_size, name, strides=1, trainable=True):
    """Convolution, batch norm and ReLU with the reference's initial values."""
    start = _uniform(kernel_size, x.shape[-1])
    settings = {"initializer": start, "trainable": trainable}
    x = conv_batch_norm(x, filters, kernel_size, name, f"{name}_bn", strides, **settings)
    return layers.ReLU(name=f"{name}_relu")(x)


def _uniform(kernel_size, channels=1):
    """The reference's initial values; `channels` are the input channels of one output."""
    limit = (6.0 / (kernel_size**2 * channels)) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)
