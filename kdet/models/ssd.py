"""SSD (Liu et al. 2015) on MobileNet."""

import keras
from keras import layers

from kdet.backbones.mobilenet import mobilenet_ssd
from kdet.layers.conv_norm import he_normal
from kdet.layers.ssd_detections import SSDDetections
from kdet.layers.ssd_priors import SSDPriors
from kdet.ops import ssd


def network(config):
    """Image -> raw outputs.

    Args:
        config: `kdet.config.SSD`.
    Returns:
        keras.Model: (B, H, W, 3) normalised BGR, 300 x 300 in the published row -> {"logits": (B,
        P, 1 + K) with the background first, "deltas": (B, P, 4), "priors": (P, 4) xyxy fractions
        of the image}; P is 1917 at 300 x 300.
    """
    image = keras.Input((None, None, 3), name="image")
    maps = list(mobilenet_ssd(image, config.backbone).values())
    raw = {}
    for key, part, size in (("logits", "class", config.num_classes + 1), ("deltas", "box", 4)):
        flat = []
        for number, x in enumerate(maps):
            filters = size * len(ssd.shapes_of(config.prior_sizes, number))
            x = layers.Conv2D(
                filters,
                1,
                kernel_initializer=he_normal(1, x.shape[-1]),
                name=f"ssd_{part}_{number}",
            )(x)
            flat.append(layers.Reshape((-1, size), name=f"ssd_{part}_{number}_flat")(x))
        raw[key] = layers.Concatenate(axis=1, name=key)(flat)
    raw["priors"] = SSDPriors(config.prior_sizes, name="priors")(maps, image)
    return keras.Model(image, raw, name="ssd")


def detections(config):
    """The layer (raw, image, resized_size, original_size) -> detections."""
    return SSDDetections(
        config.score_threshold,
        config.pre_nms,
        config.nms_iou,
        config.max_detections,
        name="detections",
    )
