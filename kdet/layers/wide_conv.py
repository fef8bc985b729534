"""Convolutions with many filters, which run as several smaller ones where that is faster."""

import keras
from keras import activations, ops

from kdet.ops import tf_layers


@keras.saving.register_keras_serializable("kdet")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, which is computed by `split_conv` in inference.

    The arguments, weights and results are those of Keras's layer. So is the name of the class,
    because Keras names the weights in its files after it, and older files must stay readable.
    """

    def call(self, inputs, training=None):
        usual = self.groups == 1 and self.data_format == "channels_last"
        usual = usual and self.activation in (activations.linear, activations.relu)
        if training or not usual or conv_parts(self.kernel) == 1:
            return super().call(inputs)
        settings = {x: getattr(self, x) for x in ("strides", "padding", "dilation_rate")}
        return split_conv(inputs, self.kernel, self.bias, self.activation, **settings)


def conv_parts(kernel) -> int:
    """The number of parts that `split_conv` makes of a kernel: 1 if a whole one is as fast."""
    return tf_layers.conv_parts(kernel.shape)


def split_conv(inputs, kernel, bias=None, activation=None, **settings):
    """A convolution of all filters, computed in `conv_parts` groups of filters.

    Args:
        inputs: (B, H, W, C) floating point.
        kernel: (k, k, C, F).
        bias: (F,) or None.
        activation: a function of each element, or None.
        **settings: other arguments of `keras.ops.conv`.
    Returns:
        (B, h, w, F) outputs.
    """
    count = conv_parts(kernel)
    kernels = ops.split(kernel, count, axis=-1)
    parts = [ops.conv(inputs, part, **settings) for part in kernels]
    # each part gets its bias and its activation, so that one operation does all three
    if bias is not None:
        parts = [ops.add(*pair) for pair in zip(parts, ops.split(bias, count))]
    parts = [activation(part) for part in parts] if activation else parts
    return ops.concatenate(parts, axis=-1)
