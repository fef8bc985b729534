"""Compiled calls of a Keras model on whichever backend runs."""

import keras


def compiled(model):
    """`model` as a compiled function of one nested input.

    On TensorFlow the graph keeps unknown batch and image sizes, so a new size costs no new trace;
    on JAX every size is compiled once.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = {
            tensor.name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, tensor.name)
            for tensor in model.inputs
        }
        return tf.function(lambda inputs: model(inputs, training=False), [signature])
    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(
            lambda trainable, fixed, inputs: model.stateless_call(
                trainable, fixed, inputs, training=False
            )[0]
        )

        def run(inputs):
            values = ([v.value for v in vs] for vs in (
                model.trainable_variables, model.non_trainable_variables))  # fmt: skip
            return call(*values, inputs)

        return run
    raise RuntimeError(f"kdet runs on tensorflow or jax; received {keras.backend.backend()!r}")
