"""A depthwise convolution and its batch norm, one layer so that they can be one pass."""

import keras
from keras import ops

from kdet.layers.conv_norm import BatchNorm, pad_symmetric


@keras.saving.register_keras_serializable("kdet")
class DepthwiseNorm(BatchNorm):
    """norm(conv(x, kernel)); in inference conv(x, scale * kernel) + offset.

    Graph optimisers merge a norm with the dense convolution before it, but not with a depthwise
    one, whose norm then takes half as long as the convolution does. Here the kernel is small, so
    folding it at every call costs nothing.

    Args:
        kernel_size: side of the square kernel.
        strides: of both axes; padding is (kernel_size - 1) // 2 on all four sides.
        kernel_initializer: of the kernel.
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
            padding = "valid" if self.strides > 1 else "same"
            inputs = pad_symmetric(inputs, self.kernel_size) if self.strides > 1 else inputs
            outputs = ops.depthwise_conv(inputs, self.kernel, self.strides, padding)
            return super().call(outputs, training=True)
        scale = self.gamma * ops.rsqrt(self.moving_variance + self.epsilon)
        kernel = self.kernel * ops.cast(scale, self.kernel.dtype)[:, None]
        if self.strides > 1:
            # With a row and a column of zeros behind it, "same" starts as far outside as symmetric
            # padding does, for sides even and odd, and no padded copy of the image is made.
            kernel = ops.pad(kernel, [(0, 1), (0, 1), (0, 0), (0, 0)])
        outputs = ops.depthwise_conv(inputs, kernel, self.strides, "same")
        return ops.add(outputs, ops.cast(self.beta - self.moving_mean * scale, outputs.dtype))

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
