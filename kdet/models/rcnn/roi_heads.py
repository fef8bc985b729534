"""Box heads and the mask head of R-CNNs, and a wrapper that applies an image network to RoIs."""

import math

import keras
from keras import ops

from kdet.layers.base import ConfiguredLayer


@keras.saving.register_keras_serializable("kdet")
class BoxHead(ConfiguredLayer):
    """RoI features (B, N, ...) -> {"logits": (B, N, K + 1), "deltas": (B, N, boxes, 4)}.

    Class 0 is background in both.

    Args:
        num_classes: K.
        boxes: number of boxes per RoI, K + 1, or 2 (background, foreground) for all classes.
        hidden: width of the two fully connected layers before the outputs; 0 for none.
    """

    SETTINGS = ("num_classes", "boxes", "hidden")

    def __init__(self, num_classes, boxes, hidden=1024, **kwargs):
        super().__init__(**kwargs)
        self.num_classes, self.boxes, self.hidden = num_classes, boxes, hidden

    def build(self, shape):
        width, self.dense = math.prod(shape[2:]), []
        for name in ("fc6", "fc7") if self.hidden else ():
            limit = (3.0 / width) ** 0.5  # as in the reference
            start = keras.initializers.RandomUniform(-limit, limit)
            self.dense.append(self._dense(self.hidden, name, start, width, "relu"))
            width = self.hidden
        normal = keras.initializers.RandomNormal
        outputs = self.num_classes + 1
        self.logits = self._dense(outputs, "class_output", normal(stddev=0.01), width)
        self.deltas = self._dense(4 * self.boxes, "box_output", normal(stddev=0.001), width)

    def _dense(self, units, name, start, width, activation=None):
        layer = keras.layers.Dense(
            units, activation, kernel_initializer=start, dtype=self.dtype_policy, name=name
        )
        layer.build((None, None, width))
        return layer

    def call(self, x):
        x = ops.reshape(x, (-1, x.shape[1], math.prod(x.shape[2:])))
        for layer in self.dense:
            x = layer(x)
        deltas = ops.reshape(self.deltas(x), (-1, x.shape[1], self.boxes, 4))
        return {"logits": self.logits(x), "deltas": deltas}

    def compute_output_shape(self, shape):
        return {
            "logits": (*shape[:2], self.num_classes + 1),
            "deltas": (*shape[:2], self.boxes, 4),
        }


@keras.saving.register_keras_serializable("kdet")
class MaskHead(ConfiguredLayer):
    """RoI features (B, N, s, s, C) -> mask logits (B, N, 2s, 2s, K + 1); class 0 is background.

    It has 3x3 convolutions, a transposed 2x2 and an output 1x1 one (He et al. 2017, figure 4).

    Args:
        num_classes: K.
        depth: number of 3x3 convolutions.
        width: channels of all layers but the output.
    """

    SETTINGS = ("num_classes", "depth", "width")

    def __init__(self, num_classes, depth=4, width=256, **kwargs):
        super().__init__(**kwargs)
        self.num_classes, self.depth, self.width = num_classes, depth, width

    def build(self, shape):
        channels, self.convs = shape[-1], []
        settings = {"activation": "relu", "dtype": self.dtype_policy}
        for index in range(1, self.depth + 1):
            start = _normal(2.0 / (9 * channels))
            self.convs.append(
                keras.layers.Conv2D(
                    self.width, 3, padding="same", kernel_initializer=start,
                    name=f"conv_{index}", **settings,
                )
            )  # fmt: skip
            self.convs[-1].build((None, *shape[2:4], channels))
            channels = self.width
        self.upsample = keras.layers.Conv2DTranspose(
            self.width, 2, 2, kernel_initializer=_normal(2.0 / (4 * channels)),
            name="upsample", **settings,
        )  # fmt: skip
        self.upsample.build((None, *shape[2:4], channels))
        # the reference uses the number of classes as the fan-in here
        settings["activation"] = None
        self.output_conv = keras.layers.Conv2D(
            self.num_classes + 1, 1, kernel_initializer=_normal(2.0 / (self.num_classes + 1)),
            name="output", **settings,
        )  # fmt: skip
        self.output_conv.build((None, None, None, self.width))

    def call(self, x):
        count, side = ops.shape(x)[1:3]
        x = ops.reshape(x, (-1, *x.shape[2:]))
        for layer in (*self.convs, self.upsample, self.output_conv):
            x = layer(x)
        return ops.reshape(x, (-1, count, 2 * side, 2 * side, self.num_classes + 1))

    def compute_output_shape(self, shape):
        return (*shape[:2], 2 * shape[2], 2 * shape[3], self.num_classes + 1)


def _normal(variance):
    return keras.initializers.RandomNormal(stddev=variance**0.5)


@keras.saving.register_keras_serializable("kdet", name="EachRegion")
class PerRoI(keras.layers.Layer):
    """Applies an image network to RoI features, (B, N, h, w, C) -> (B, N, ...).

    Args:
        network: keras.Model on (n, h, w, C).
    """

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network

    def call(self, x):
        y = self.network(ops.reshape(x, (-1, *x.shape[2:])))
        return ops.reshape(y, (-1, x.shape[1], *y.shape[1:]))

    def compute_output_shape(self, shape):
        return (*shape[:2], *self.network.output_shape[1:])

    def get_config(self):
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network}

    @classmethod
    def from_config(cls, config):
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        return cls(network, **config)


# Keras stores weights under the name of the layer's class, and older files contain this name
PerRoI.__name__ = "EachRegion"
