"""Convolutions with batch norm, which is either trained or frozen and folded."""

import keras
from keras import layers, ops

from kdet.layers.base import ConfiguredLayer
from kdet.layers.wide_conv import Conv2D, faster_conv, has_faster_conv
from kdet.ops import tf_layers


@keras.saving.register_keras_serializable("kdet")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras's batch norm with the reference's settings and the statistics of the global batch.

    One TensorFlow replica uses a fused kernel. In inference, the graph optimiser merges this kernel
    with the convolution before it. With several replicas, Keras exchanges the statistics.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, synchronized=None, **kwargs):
        if synchronized is None:
            # Keras can exchange statistics on TensorFlow only, and kdet trains there
            synchronized = keras.backend.backend() == "tensorflow"
        super().__init__(momentum=momentum, epsilon=epsilon, synchronized=synchronized, **kwargs)

    def call(self, inputs, training=None, mask=None):
        training = bool(training) and self.trainable  # a frozen norm uses its moving statistics
        if mask is not None or not tf_layers.has_fused_norm(alone=training):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tf_layers.fused_norm(
            inputs,
            self.gamma,
            self.beta,
            None if training else (self.moving_mean, self.moving_variance),
            self.epsilon,
        )
        if training:
            keep = self.momentum
            self.moving_mean.assign(self.moving_mean * keep + mean * (1 - keep))
            self.moving_variance.assign(self.moving_variance * keep + variance * (1 - keep))
        return outputs


def he_normal(kernel_size, channels):
    """The reference's initial kernel, N(0, sqrt(2 / (k * k * input channels of all groups)))."""
    return keras.initializers.RandomNormal(stddev=(2.0 / (kernel_size**2 * channels)) ** 0.5)


def conv_batch_norm(
    x, filters, kernel_size, name, norm_name, strides=1, groups=1, initializer=None, trainable=True
):
    """A convolution without bias and its batch norm, as functional layers.

    Args:
        x: (B, H, W, C) Keras tensor.
        filters: output channels.
        kernel_size: side of the square kernel.
        name, norm_name: names of the two layers.
        strides: stride of both axes; padding is (kernel_size - 1) // 2 on all four sides.
        groups: number of groups of the convolution.
        initializer: initial values of the kernel; default `he_normal`.
        trainable: whether kernel and norm are trained.
    Returns:
        (B, ceil(H / strides), ceil(W / strides), filters) Keras tensor, no activation.
    """
    padding = "same"
    if strides > 1:
        # strided "same" pads even sizes at the right and bottom only, which shifts the features
        side, padding = (kernel_size - 1) // 2, "valid"
        x = layers.ZeroPadding2D(side, name=f"{name}_pad")(x) if side else x
    settings = {
        "strides": strides,
        "padding": padding,
        "use_bias": False,
        "trainable": trainable,
        "name": name,
    }
    start = initializer or he_normal(kernel_size, x.shape[-1])
    x = Conv2D(filters, kernel_size, groups=groups, kernel_initializer=start, **settings)(x)
    return BatchNorm(trainable=trainable, name=norm_name)(x)


@keras.saving.register_keras_serializable("kdet")
class FrozenNormConv2D(ConfiguredLayer):
    """y = scale * conv(x, kernel) + offset, computed as conv(x, scale * kernel) + offset.

    `scale` and `offset` are folded batch-norm statistics. They are never trained, even if the layer
    is trainable. The folded form runs as one convolution with a bias.

    Args:
        filters: output channels.
        kernel_size: side of the square kernel.
        strides: stride of both axes; padding is (kernel_size - 1) // 2 on all four sides.
        groups: number of groups of the convolution.
        initial_scale: value of `scale` until weights are loaded.
    Input (B, H, W, C) -> output (B, ceil(H / strides), ceil(W / strides), filters).
    """

    SETTINGS = ("filters", "kernel_size", "strides", "groups", "initial_scale")

    def __init__(self, filters, kernel_size, strides=1, groups=1, initial_scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size = filters, kernel_size
        self.strides, self.groups, self.initial_scale = strides, groups, initial_scale

    def build(self, input_shape):
        channels = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, channels // self.groups, self.filters),
            initializer=he_normal(self.kernel_size, channels),
        )
        self.scale = self.add_weight(
            name="scale",
            shape=(self.filters,),
            initializer=keras.initializers.Constant(self.initial_scale),
            trainable=False,
        )
        self.offset = self.add_weight(
            name="offset", shape=(self.filters,), initializer="zeros", trainable=False
        )

    def call(self, inputs, training=None):
        kernel = self.kernel * self.scale
        padding = "valid" if self.kernel_size == 1 else "same"
        if self.strides > 1:
            inputs, padding = pad_symmetric(inputs, self.kernel_size), "valid"
        settings = {"strides": (self.strides,) * 2, "padding": padding}
        if not training and self.groups == 1 and has_faster_conv(kernel):
            return faster_conv(inputs, kernel, self.offset, **settings)
        return ops.add(ops.conv(inputs, kernel, **settings), self.offset)

    def compute_output_shape(self, input_shape):
        sides = [side and -(-side // self.strides) for side in input_shape[1:3]]
        return (input_shape[0], *sides, self.filters)


def pad_symmetric(inputs, kernel_size):
    """(B, H, W, C) with (kernel_size - 1) // 2 zeros on every side.

    Strided "same" padding pads even sizes at the right and bottom only, which shifts the features.
    """
    side = (kernel_size - 1) // 2
    return ops.pad(inputs, [(0, 0), (side, side), (side, side), (0, 0)]) if side else inputs
