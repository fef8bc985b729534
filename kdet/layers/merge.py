"""The sum of maps, which becomes part of the convolution before it on CPUs."""

import keras

from kdet.ops import tf_layers


@keras.saving.register_keras_serializable("kdet")
class Add(keras.layers.Add):
    """`keras.layers.Add` for two maps, computed by `tf_layers.add`.

    The class has the name of Keras's, as `Conv2D` has.
    """

    def call(self, inputs):
        return tf_layers.add(*inputs)
