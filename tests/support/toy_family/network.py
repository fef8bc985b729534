"""The network: one map of stride 8, and one convolution for each output."""

import keras
from keras import layers

from toy_family.backbone import plain_net

STRIDE = 8
PRIOR = -4.6  # logit of the probability 0.01 with which every cell starts


def network(config):
    """Image -> class logits and box sizes of every cell.

    Args:
        config: `CentreNet`.
    Returns:
        keras.Model: (B, H, W, 3) normalised RGB -> {"logits": (B, H/8, W/8, K), "sizes": (B, H/8,
        W/8, 2)}; a size is the logarithm of width and height in units of 8 pixels.
    """
    image = keras.Input((None, None, 3), name="image")
    x = plain_net(image, config.backbone, levels=(3,))["C3"]
    start = keras.initializers.Constant(PRIOR)
    outputs = {
        "logits": layers.Conv2D(
            config.num_classes, 3, padding="same", bias_initializer=start, name="centre_class"
        )(x),
        "sizes": layers.Conv2D(2, 3, padding="same", name="centre_size")(x),
    }
    return keras.Model(image, outputs, name="centre_net")
