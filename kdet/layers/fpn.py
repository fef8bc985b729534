"""Feature pyramid network (Lin et al. 2016)."""

import keras
from keras import ops

from kdet.layers.base import ConfiguredLayer
from kdet.layers.conv_norm import pad_symmetric
from kdet.layers.wide_conv import Conv2D
from kdet.ops import tf_layers


def _uniform(limit):
    return keras.initializers.RandomUniform(-limit, limit)


@keras.saving.register_keras_serializable("kdet")
class FPN(ConfiguredLayer):
    """Top-down pyramid, {"C3": (B, H/8, W/8, c3), ...} -> {"P3": (B, H/8, W/8, width), ...}.

    It has 1x1 lateral convolutions, adds the next coarser level after nearest x2 upsampling, and
    ends in 3x3 convolutions. All have a bias, but no norm and no activation. The sides of the image
    must be multiples of the coarsest stride.

    Args:
        width: channels of every level.
        extra: "conv": P6 is a 3x3 convolution of stride 2 on the coarsest C map, and P7 is one on
            relu(P6), as in RetinaNet. "pool": P6 is every second cell of P5, as in the two-stage
            rows. "none": no further levels.
    """

    SETTINGS = ("width", "extra")

    def __init__(self, width=256, extra="conv", **kwargs):
        super().__init__(**kwargs)
        if extra not in ("conv", "pool", "none"):
            raise ValueError(f"extra must be 'conv', 'pool' or 'none'; received {extra!r}")
        self.width, self.extra = width, extra

    def build(self, input_shape):
        self.levels = sorted(int(name[1:]) for name in input_shape)
        self.lateral, self.smooth, self.coarse = {}, {}, {}
        # the limits are sqrt(6 / (fan_in + fan_out)) with the fan_out that the reference sets
        for level in self.levels:
            channels = input_shape[f"C{level}"][-1]
            self.lateral[f"P{level}"] = self._conv(
                f"lateral_{level}", 1, input_shape[f"C{level}"], (3.0 / channels) ** 0.5
            )
            self.smooth[f"P{level}"] = self._conv(
                f"smooth_{level}", 3, (None, None, None, self.width), (3.0 / 9 / 256) ** 0.5
            )
        if self.extra == "conv":
            top = self.levels[-1]
            for level, shape in ((top + 1, input_shape[f"C{top}"]), (top + 2, (self.width,))):
                limit = (6.0 / (2 * 9 * shape[-1])) ** 0.5
                shape = (None, None, None, shape[-1])
                self.coarse[f"P{level}"] = self._conv(f"coarse_{level}", 3, shape, limit, 2)

    def _conv(self, name, kernel_size, shape, limit, strides=1):
        layer = Conv2D(
            self.width,
            kernel_size,
            strides=strides,
            padding="same" if strides == 1 else "valid",
            kernel_initializer=_uniform(limit),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build(shape)
        return layer

    def call(self, features):
        outputs, above = {}, None
        for level in reversed(self.levels):
            merged = self.lateral[f"P{level}"](features[f"C{level}"])
            if above is not None:
                merged = tf_layers.add(merged, upsample(above))
            above = merged
            outputs[f"P{level}"] = self.smooth[f"P{level}"](merged)
        outputs = {name: outputs[name] for name in sorted(outputs)}
        top = self.levels[-1]
        if self.extra == "pool":
            outputs[f"P{top + 1}"] = outputs[f"P{top}"][:, ::2, ::2]
        elif self.extra == "conv":
            # P6 reads the map of the backbone, not P5, and the heads get P6 without the ReLU
            first, second = f"P{top + 1}", f"P{top + 2}"
            outputs[first] = self.coarse[first](pad_symmetric(features[f"C{top}"], 3))
            outputs[second] = self.coarse[second](pad_symmetric(ops.relu(outputs[first]), 3))
        return outputs

    def compute_output_shape(self, features_shape):
        top = self.levels[-1]
        shapes = {f"P{n}": (*features_shape[f"C{n}"][:3], self.width) for n in self.levels}
        for level in range(top + 1, top + {"none": 0, "pool": 1, "conv": 2}[self.extra] + 1):
            batch, *sides, _ = shapes[f"P{level - 1}"]
            sides = [side and -(-side // 2) for side in sides]
            shapes[f"P{level}"] = (batch, *sides, self.width)
        return shapes


def upsample(inputs):
    """Nearest x2: (B, H, W, C) -> (B, 2H, 2W, C).

    At this factor it equals the reference's align_corners interpolation, for every side below 700.
    """
    return ops.repeat(ops.repeat(inputs, 2, axis=1), 2, axis=2)
