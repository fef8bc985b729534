"""The sum of maps, which becomes part of the convolution before it on CPUs."""

import keras
from keras import ops

from kdet.ops import tf_layers


@keras.saving.register_keras_serializable("kdet")
class Add(keras.layers.Add):
    """`keras.layers.Add`, computed by `add`. The class has the name of Keras's, as `Conv2D` has."""

    def call(self, inputs):
        return add(*inputs)


def add(first, second):
    """The sum of two maps of equal shape (B, H, W, C)."""
    return tf_layers.add([first, second]) if tf_layers.on_cpu() else ops.add(first, second)
