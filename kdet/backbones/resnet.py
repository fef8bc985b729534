"""Residual networks (He et al. 2015), variants b and d, in one file.

The layers have the names of the original Caffe release, as in the reference's checkpoints.
"""

from keras import initializers, layers

from kdet.layers.conv_norm import FrozenNormConv2D, conv_batch_norm
from kdet.layers.merge import Add

BLOCKS = {34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
# the branches of a block have different names in SENet's checkpoints
SENET_BRANCHES = {"_branch2a": "_x1", "_branch2b": "_x2", "_branch2c": "_x3", "_branch1": "_prj"}


def resnet(image, config, levels=(2, 3, 4, 5)):
    """The feature maps at the end of stages 2 to 5.

    Args:
        image: (B, H, W, 3) Keras tensor.
        config: `kdet.config.ResNet`.
        levels: stages to return.
    Returns:
        {"C2": (B, H/4, W/4, 256), ..., "C5": (B, H/32, W/32, 2048)}, sides rounded up; a quarter of
        the channels at depth 34.
    """
    x, features = _stem(image, config), {}
    for number in range(2, max(levels) + 1):
        x = stage(x, config, number)
        if number in levels:
            features[f"C{number}"] = x
    return features


def stage(x, config, number):
    """Applies stage `number` (2 to 5) to (B, h, w, C); stages 3 to 5 halve the sides."""
    count, block = BLOCKS[config.depth][number - 2], _basic if config.depth < 50 else _bottleneck
    for index in range(count):
        # the Caffe release numbers the blocks of the long stage, 4a, 4b1 .. 4b22
        letter = f"b{index}" if index and count > 10 else chr(ord("a") + index)
        name = f"res{number}{letter}"
        if config.squeeze_excite:
            name = f"conv{number + 2}_{index + 1}"
        x = block(x, config, number, name, first=index == 0)
    return x


def conv_norm(x, config, filters, kernel_size, name, norm_name, number, strides=1, act="relu"):
    """Convolution, norm and optional activation; `number` is the stage it belongs to."""
    trainable = number > config.freeze_at
    groups = config.groups if kernel_size == 3 and number > 1 else 1
    if config.norm == "frozen":
        # a frozen norm does not limit a sum of random branches, so each branch starts small
        scale = 0.25 if name.endswith(("branch2c", "x3")) else 1.0
        layer = FrozenNormConv2D(
            filters, kernel_size, strides, groups, scale, trainable=trainable, name=name
        )
        x = layer(x)
    else:
        x = conv_batch_norm(
            x, filters, kernel_size, name, norm_name, strides, groups, trainable=trainable
        )
    return layers.ReLU(name=f"{name}_relu")(x) if act else x


def _stem(x, config):
    if config.variant == "b":
        x = conv_norm(x, config, 64, 7, "conv1", "bn_conv1", 1, 2)
    elif config.squeeze_excite:
        for index, (filters, strides) in enumerate(((64, 2), (64, 1), (128, 1)), 1):
            x = conv_norm(x, config, filters, 3, f"stem_{index}", f"stem_{index}_bn", 1, strides)
    else:
        for index, (filters, strides) in enumerate(((32, 2), (32, 1), (64, 1)), 1):
            name = f"conv1_{index}"
            x = conv_norm(x, config, filters, 3, name, f"bnv1_{index}", 1, strides)
    # after ReLU, padding with zeros gives the same maximum as padding with -infinity
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, 2, name="pool1")(x)


def _basic(x, config, number, name, first):
    filters, strides = 64 * 2 ** (number - 2), 2 if first and number > 2 else 1

    def conv(x, kernel_size, branch, strides=1, act=None):
        norm = name.replace("res", "bn", 1) + branch
        return conv_norm(x, config, filters, kernel_size, name + branch, norm, number, strides, act)

    # the reference also projects in stage 2, where the shape does not change
    shortcut = conv(x, 1, "_branch1", strides) if first else x
    x = conv(x, 3, "_branch2a", strides, act="relu")
    x = conv(x, 3, "_branch2b")
    x = Add(name=f"{name}_sum")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu")(x)


def _bottleneck(x, config, number, name, first):
    width = config.group_width * config.groups * 2 ** (number - 2)
    filters = 256 * 2 ** (number - 2)
    strides = 2 if first and number > 2 else 1

    def conv(x, filters, kernel_size, branch, strides=1, act=None):
        norm = name.replace("res", "bn", 1) + branch
        if config.squeeze_excite:
            branch = SENET_BRANCHES[branch]
            norm = f"{name}{branch}_bn"
        return conv_norm(x, config, filters, kernel_size, name + branch, norm, number, strides, act)

    shortcut = x
    if first and config.variant == "d" and strides > 1:
        # "same" average pooling excludes the padding from the mean, as the reference does
        shortcut = layers.AveragePooling2D(2, 2, padding="same", name=f"{name}_pool")(shortcut)
        shortcut = conv(shortcut, filters, 1, "_branch1")
    elif first:
        shortcut = conv(shortcut, filters, 1, "_branch1", strides)
    x = conv(x, width, 1, "_branch2a", act="relu")
    # variants b and d have the stride here, not in the 1x1 convolution before
    x = conv(x, width, 3, "_branch2b", strides, act="relu")
    x = conv(x, filters, 1, "_branch2c")
    if config.squeeze_excite:
        x = _squeeze_excite(x, name.replace("conv", "fc"), trainable=number > config.freeze_at)
    x = Add(name=f"{name}_sum")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu")(x)


def _squeeze_excite(x, name, trainable):
    """Scales each channel by a weight from the whole map (Hu et al. 2017), with reduction 16."""
    channels, weights = (
        x.shape[-1],
        layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x),
    )
    for suffix, units, activation in (
        ("sqz", channels // 16, "relu"),
        ("exc", channels, "sigmoid"),
    ):
        limit = weights.shape[-1] ** -0.5
        weights = layers.Dense(
            units,
            activation,
            kernel_initializer=initializers.RandomUniform(-limit, limit),
            trainable=trainable,
            name=f"{name}_{suffix}",
        )(weights)
    return layers.Multiply(name=f"{name}_scale")([x, weights])
