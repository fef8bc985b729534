"""A depthwise convolution and its batch norm as one layer, which can run as one operation."""

import keras
from keras import ops

from kdet.layers.conv_norm import BatchNorm, pad_symmetric
from kdet.ops import tf_layers


@keras.saving.register_keras_serializable("kdet")
class DepthwiseNorm(BatchNorm):
    """norm(conv(x, kernel)), computed as conv(x, scale * kernel) + offset in inference.

    Graph optimisers merge a norm with a dense convolution before it, but not with a depthwise one.
    Such a norm takes half the time of its convolution. The kernel is small, so folding the norm
    into it at every call costs almost nothing.

    Args:
        kernel_size: side of the square kernel.
        strides: stride of both axes; padding is (kernel_size - 1) // 2 on all four sides.
        kernel_initializer: initial values of the kernel.
    Input (B, H, W, C) -> output (B, ceil(H / strides), ceil(W / strides), C).
    """

    def __init__(self, kernel_size=3, strides=1, kernel_initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        self.kernel_size, self.strides = kernel_size, strides
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, input_shape[-1], 1),
            initializer=self.kernel_initializer,
        )
        super().build(input_shape)

    def call(self, inputs, training=None):
        if training and self.trainable:
            return super().call(self._convolved(inputs), training=True)
        scale = self.gamma * ops.rsqrt(self.moving_variance + self.epsilon)
        kernel = self.kernel * ops.cast(scale, self.kernel.dtype)[:, None]
        if self.strides > 1:
            # With one more row and column of zeros in the kernel, "same" padding starts where
            # symmetric padding starts, for even and odd sides, without a padded copy of the image.
            kernel = ops.pad(kernel, [(0, 1), (0, 1), (0, 0), (0, 0)])
        outputs = ops.depthwise_conv(inputs, kernel, self.strides, "same")
        return ops.add(outputs, ops.cast(self.beta - self.moving_mean * scale, outputs.dtype))

    def _convolved(self, inputs):
        if self.strides == 1:
            return ops.depthwise_conv(inputs, self.kernel, 1, "same")
        if tf_layers.on_cpu():
            return tf_layers.strided_depthwise(inputs, self.kernel, self.strides)
        inputs = pad_symmetric(inputs, self.kernel_size)
        return ops.depthwise_conv(inputs, self.kernel, self.strides, "valid")

    def compute_output_shape(self, input_shape):
        sides = [side and -(-side // self.strides) for side in input_shape[1:3]]
        return (input_shape[0], *sides, input_shape[3])

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
