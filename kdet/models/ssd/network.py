"""SSD's network of MobileNet, four extra blocks, and one convolution per map and output."""

import keras
from keras import layers

from kdet.backbones.mobilenet import mobilenet_blocks, relu_conv, scaled
from kdet.layers.conv_norm import he_normal
from kdet.models.ssd.priors import SSDPriors, prior_shapes

# channels of the two convolutions of each extra block
EXTRA_BLOCKS = ((256, 512), (128, 256), (128, 256), (64, 128))


def network(config):
    """Image -> class logits and box deltas of every prior, and the priors.

    Args:
        config: `kdet.config.SSD`.
    Returns:
        keras.Model: (B, H, W, 3) normalised BGR, 300 x 300 in the published row -> {"logits": (B,
        P, 1 + K) with the background first, "deltas": (B, P, 4), "priors": (P, 4) xyxy fractions
        of the image}; P is 1917 at 300 x 300.
    """
    image = keras.Input((None, None, 3), name="image")
    maps = list(feature_maps(image, config.backbone).values())
    outputs = {}
    for key, part, size in (("logits", "class", config.num_classes + 1), ("deltas", "box", 4)):
        flat = []
        for number, x in enumerate(maps):
            filters = size * len(prior_shapes(config.prior_sizes, number))
            x = layers.Conv2D(
                filters,
                1,  # the reference's kernel, not 3
                kernel_initializer=he_normal(1, x.shape[-1]),
                name=f"ssd_{part}_{number}",
            )(x)
            flat.append(layers.Reshape((-1, size), name=f"ssd_{part}_{number}_flat")(x))
        outputs[key] = layers.Concatenate(axis=1, name=key)(flat)
    outputs["priors"] = SSDPriors(config.prior_sizes, name="priors")(maps, image)
    return keras.Model(image, outputs, name="ssd")


def feature_maps(image, config):
    """The six feature maps for the heads, finest first.

    Args:
        image: (B, H, W, 3) Keras tensor.
        config: `kdet.config.MobileNet`.
    Returns:
        {"conv5_5": (B, H/16, W/16, 512), "conv6": (B, H/32, W/32, 1024), "conv7_1": (B, H/64, W/64,
        512), "conv7_2": 256, "conv7_3": 256, "conv7_4": 128 channels}; the sides of each map are
        half those of the map before, rounded up.
    """
    blocks = mobilenet_blocks(image, config)
    x = blocks["conv6"]
    maps = {name: blocks[name] for name in ("conv5_5", "conv6")}
    for index, (narrow, wide) in enumerate(EXTRA_BLOCKS, 1):
        name = f"conv7_{index}"
        x = relu_conv(x, scaled(narrow, config), 1, f"{name}_extra1")
        x = maps[name] = relu_conv(x, scaled(wide, config), 3, f"{name}_extra2", strides=2)
    return maps
