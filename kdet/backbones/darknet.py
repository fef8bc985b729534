"""DarkNet-53 (Redmon and Farhadi 2018, "YOLOv3").

The layers have the names of the reference's checkpoints.
"""

from keras import layers

from kdet.layers.conv_norm import conv_batch_norm

BLOCKS = {53: (1, 2, 8, 8, 4)}


def darknet(image, config, levels=(3, 4, 5)):
    """The feature maps at the end of the five stages.

    Args:
        image: (B, H, W, 3) Keras tensor.
        config: `kdet.config.DarkNet`.
        levels: stages to return, 1 to 5.
    Returns:
        {"C1": (B, H/2, W/2, 64), ..., "C5": (B, H/32, W/32, 1024)}, sides rounded up.
    """
    trainable = config.freeze_at < 1
    x = leaky_conv(image, 32, 3, "yolo_input", trainable=trainable)
    x = leaky_conv(x, 64, 3, "yolo_input.downsample", strides=2, trainable=trainable)
    features = {}
    for stage, count in enumerate(BLOCKS[config.depth]):
        width, trainable = 32 * 2**stage, stage + 1 > config.freeze_at
        if stage:
            name = f"stage.{stage - 1}.downsample"
            x = leaky_conv(x, 2 * width, 3, name, strides=2, trainable=trainable)
        for block in range(count):
            name = f"stage.{stage}.{block}"
            y = leaky_conv(x, width, 1, f"{name}.0", trainable=trainable)
            y = leaky_conv(y, 2 * width, 3, f"{name}.1", trainable=trainable)
            x = layers.Add(name=f"{name}.sum")([x, y])  # no activation after the sum
        features[f"C{stage + 1}"] = x
        if stage + 1 == max(levels):
            break
    return {f"C{level}": features[f"C{level}"] for level in sorted(levels)}


def leaky_conv(x, filters, kernel_size, name, strides=1, trainable=True):
    """Convolution, batch norm and leaky ReLU with slope 0.1, for DarkNet and YOLO's head."""
    names = f"{name}.conv", f"{name}.bn"
    x = conv_batch_norm(x, filters, kernel_size, *names, strides, trainable=trainable)
    return layers.LeakyReLU(0.1, name=f"{name}.leaky")(x)
