"""Batch normalisation that trains, by the fastest kernel at hand."""

import keras

from kdet import native


@keras.saving.register_keras_serializable("kdet")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras's layer with the reference's settings; statistics are those of the global batch.

    On one TensorFlow replica a fused kernel does the work, in inference too, where the graph
    optimiser merges it with the convolution before it. On several, Keras exchanges the statistics.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, synchronized=None, **kwargs):
        if synchronized is None:
            # Keras exchanges statistics on TensorFlow only, which is where kdet trains
            synchronized = keras.backend.backend() == "tensorflow"
        super().__init__(momentum=momentum, epsilon=epsilon, synchronized=synchronized, **kwargs)

    def call(self, inputs, training=None, mask=None):
        training = bool(training) and self.trainable
        if mask is not None or not native.has_fused_norm(alone=training):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = native.fused_norm(
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
