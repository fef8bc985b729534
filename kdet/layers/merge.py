"""The sum of maps, which becomes part of the convolution before it on CPUs."""

import keras

from kdet.ops import tf_layers


@keras.saving.register_keras_serializable("kdet")
class Add(keras.layers.Add):
    """`keras.layers.Add` for two maps. On a CPU, it becomes part of the convolution before it.

    It has the name of Keras's class, because saved files must stay readable (see `Conv2D`).
    """

    def call(self, inputs):
        return tf_layers.add(*inputs)
