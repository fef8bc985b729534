"""A backbone of plain convolutions."""

from keras import layers

from kdet.layers.conv_norm import conv_batch_norm


def plain_net(image, config, levels=(3, 4, 5)):
    """The maps behind the convolutions.

    Args:
        image: (B, H, W, 3) Keras tensor.
        config: `PlainNet`.
        levels: the maps to return, counted from 1.
    Returns:
        {"C1": (B, H/2, W/2, width), "C2": (B, H/4, W/4, 2 * width), ...}, sides rounded up.
    """
    x, features = image, {}
    for level in range(1, max(levels) + 1):
        filters = config.width * 2 ** (level - 1)
        x = conv_batch_norm(x, filters, 3, f"plain_{level}", f"plain_{level}_bn", strides=2)
        x = features[f"C{level}"] = layers.ReLU(name=f"plain_{level}_relu")(x)
    return {f"C{level}": features[f"C{level}"] for level in sorted(levels)}


# variable path -> beginning of the name in the reference's checkpoints
NAMES = ((r"^(plain_\d(?:_bn)?)/", r"\1_"),)
