"""RetinaNet's network: backbone, pyramid, two towers and anchors."""

import math

import keras
from keras import ops

from kdet.backbones.resnet import resnet
from kdet.layers.base import ConfiguredLayer
from kdet.layers.fpn import FPN
from kdet.layers.wide_conv import Conv2D
from kdet.ops import anchors as anchor_ops

# initial foreground probability of every anchor (Lin et al. 2017, section 4.1)
PRIOR = 0.01


def network(config):
    """Image -> outputs of the two towers, and their anchors.

    Args:
        config: `kdet.config.RetinaNet`.
    Returns:
        keras.Model: (B, H, W, 3) normalised RGB, sides multiples of 128 -> {"logits": {"P3": (B,
        A3, K), ...}, "deltas": {"P3": (B, A3, 4), ...}, "anchors": {"P3": (A3, 4), ...}}.
    """
    image = keras.Input((None, None, 3), name="image")
    features = resnet(image, config.backbone, levels=(3, 4, 5))
    pyramid = FPN(config.width, extra="conv", name="fpn")(features)
    outputs = RetinaHead(
        config.num_classes,
        width=config.width,
        depth=config.depth,
        tower_init=config.tower_init,
        name="retina_head",
    )(pyramid)
    outputs["anchors"] = RetinaAnchors(config.anchor_scale, name="anchors")(pyramid)
    return keras.Model(image, outputs, name="retinanet")


@keras.saving.register_keras_serializable("kdet")
class RetinaHead(ConfiguredLayer):
    """{"P3": (B, h, w, C), ...} -> {"logits": {"P3": (B, 9hw, K), ...}, "deltas": (B, 9hw, 4)}.

    Args:
        num_classes: K; no background channel.
        anchors_per_cell: boxes predicted per cell.
        width: channels of the towers.
        depth: 3x3 convolutions per tower.
        tower_init: standard deviation of their initial kernels.
    """

    SETTINGS = ("num_classes", "anchors_per_cell", "width", "depth", "tower_init")

    def __init__(
        self, num_classes, anchors_per_cell=9, width=256, depth=4, tower_init=0.01, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_classes, self.anchors_per_cell = num_classes, anchors_per_cell
        self.width, self.depth, self.tower_init = width, depth, tower_init

    def build(self, pyramid_shape):
        shape = (None, None, None, pyramid_shape["P3"][-1])
        prior = -math.log((1 - PRIOR) / PRIOR)
        # two attributes, because Keras does not track a dict of lists in an export
        self.class_tower = self._tower("class", self.num_classes, prior, shape)
        self.box_tower = self._tower("box", 4, 0.0, shape)

    def _tower(self, name, outputs, bias, shape):
        layers = [
            self._conv(self.width, f"{name}_tower_{i}", "relu", 0.0, self.tower_init)
            for i in range(self.depth)
        ]
        filters = outputs * self.anchors_per_cell
        layers.append(self._conv(filters, f"{name}_output", None, bias))
        for layer in layers:
            layer.build(shape)
            shape = (None, None, None, self.width)
        return layers

    def _conv(self, filters, name, activation, bias, deviation=0.01):
        return Conv2D(
            filters,
            3,
            padding="same",
            activation=activation,
            kernel_initializer=keras.initializers.RandomNormal(stddev=deviation),
            bias_initializer=keras.initializers.Constant(bias),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, pyramid):
        outputs = {}
        towers = {"logits": (self.class_tower, self.num_classes), "deltas": (self.box_tower, 4)}
        for kind, (tower, size) in towers.items():
            outputs[kind] = {}
            for level, x in pyramid.items():
                for layer in tower:
                    x = layer(x)
                outputs[kind][level] = ops.reshape(x, (ops.shape(x)[0], -1, size))
        return outputs

    def compute_output_shape(self, pyramid_shape):
        def flat(shape, size):
            cells = None if None in shape[1:3] else shape[1] * shape[2] * self.anchors_per_cell
            return (shape[0], cells, size)

        return {
            kind: {level: flat(shape, size) for level, shape in pyramid_shape.items()}
            for kind, size in (("logits", self.num_classes), ("deltas", 4))
        }


@keras.saving.register_keras_serializable("kdet")
class RetinaAnchors(ConfiguredLayer):
    """RetinaNet's anchors: {"P3": (B, h, w, C), ...} -> {"P3": (h * w * 9, 4) float32, ...}.

    Boxes are xyxy half-open pixels of the padded image, not clipped; see `ops.anchors`.

    Args:
        scale: factor of the anchors' sizes.
    """

    FLOAT32 = True
    SETTINGS = ("scale",)

    def __init__(self, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, pyramid):
        anchors = {}
        for name, features in pyramid.items():
            cells, stride = ops.shape(features)[1:3], anchor_ops.RETINA_STRIDES[name]
            anchors[name] = anchor_ops.retina_grid(*cells, stride, self.scale)
        return anchors

    def compute_output_shape(self, pyramid_shape):
        return {
            name: (None if None in shape[1:3] else 9 * shape[1] * shape[2], 4)
            for name, shape in pyramid_shape.items()
        }
