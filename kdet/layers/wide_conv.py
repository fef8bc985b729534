"""Convolutions that run in another way in inference where that is faster."""

import keras
from keras import activations, ops

from kdet.ops import tf_layers


@keras.saving.register_keras_serializable("kdet")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, which is computed by `faster_conv` in inference.

    The arguments, weights and results are those of Keras's layer. So is the name of the class,
    because Keras names the weights in its files after it, and older files must stay readable.
    """

    def call(self, inputs, training=None):
        usual = self.groups == 1 and self.data_format == "channels_last"
        elementwise = self.activation in (activations.linear, activations.relu)
        if training or not (usual and elementwise and has_faster_conv(self.kernel)):
            return super().call(inputs)
        settings = {x: getattr(self, x) for x in ("strides", "padding", "dilation_rate")}
        return faster_conv(inputs, self.kernel, self.bias, self.activation, **settings)


def has_faster_conv(kernel) -> bool:
    """Whether `faster_conv` is faster than `keras.ops.conv` for a convolution of one group."""
    return tf_layers.avoids_onednn() or tf_layers.conv_parts(kernel.shape) > 1


def faster_conv(inputs, kernel, bias=None, activation=None, **settings):
    """A convolution in `conv_parts` groups of filters, or by Eigen.

    Args:
        inputs: (B, H, W, C) floating point.
        kernel: (k, k, C, F).
        bias: (F,) or None.
        activation: a function of each element, or None.
        **settings: strides and dilation_rate as pairs, and padding, as of `keras.ops.conv`.
    Returns:
        (B, h, w, F) outputs.
    """
    count = tf_layers.conv_parts(kernel.shape)
    conv = tf_layers.eigen_conv if tf_layers.avoids_onednn() else ops.conv
    parts = [conv(inputs, part, **settings) for part in ops.split(kernel, count, axis=-1)]
    # each part gets its bias and its activation, so that one operation does all three
    if bias is not None:
        parts = [ops.add(*pair) for pair in zip(parts, ops.split(bias, count))]
    parts = [activation(part) for part in parts] if activation else parts
    return ops.concatenate(parts, axis=-1)
