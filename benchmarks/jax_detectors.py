"""Detectors of kdet on JAX, as functions that run once and wait. `gpu_jax.py` times them.

Nothing here needs TensorFlow. Import this file with KERAS_BACKEND=jax.
"""

import contextlib
from unittest import mock

import jax
import keras
import noise
import numpy as np

from kdet import models
from kdet.models.families import family_of
from kdet.models.family import network_inputs

MOMENTUM, DECAY, RATE = 0.9, 1e-4, 1e-6


def build(row, policy, changes=()):
    """A detector with random weights.

    Args:
        row: its name in the zoo.
        policy: dtype policy of Keras, e.g. "mixed_bfloat16".
        changes: `key=value` changes of the recipe.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        with numpy_weights():
            return models.load(row, weights=None, overrides=changes)
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def numpy_weights():
    """Context in which NumPy draws random weights, since JAX compiles a program for each shape."""
    random = np.random.default_rng(0)

    def uniform(key, shape, dtype, minval, maxval):
        return jax.numpy.asarray(random.uniform(minval, maxval, shape), dtype)

    def normal(key, shape, dtype):
        return jax.numpy.asarray(random.standard_normal(shape), dtype)

    with mock.patch.multiple(jax.random, uniform=uniform, normal=normal):
        yield


def detection(detector, batch, height, width):
    """A function that detects objects, NMS included, in `batch` images."""
    inputs = jax.device_put(noise.detection_batch(batch, height, width))
    return lambda: jax.block_until_ready(detector(inputs))


def training(detector, batch, height, width):
    """A function that makes one step of SGD with momentum on `batch` images.

    A step computes targets, losses and gradients, and updates the weights.
    """
    family, network = family_of(detector.config), detector.training_model()
    edges = detector.recipe.data.max_edges
    images = jax.device_put(noise.training_batch(batch, height, width, edges))

    def losses(trainable, fixed, images):
        inputs = network_inputs(network, images)
        outputs, fixed = network.stateless_call(trainable, fixed, inputs, training=True)
        outputs = jax.tree.map(lambda x: x.astype("float32"), outputs)
        targets, normalizers = family.targets(detector.config, images)
        terms = family.losses(detector.config, outputs, targets, normalizers)
        return sum(terms.values()), fixed

    def step(trainable, fixed, slots, images):
        slope = jax.value_and_grad(losses, has_aux=True)
        (loss, fixed), gradients = slope(trainable, fixed, images)
        slots = [MOMENTUM * s + g + DECAY * p for s, g, p in zip(slots, gradients, trainable)]
        return [p - RATE * s for p, s in zip(trainable, slots)], fixed, slots, loss

    # a step overwrites its weights, so it gets copies of those of the detector
    weights = [
        [jax.numpy.array(v.value) for v in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    ]
    state = [*weights, [jax.numpy.zeros_like(v) for v in weights[0]]]
    compiled = jax.jit(step, donate_argnums=(0, 1, 2))

    def run():
        *state[:], loss = jax.block_until_ready(compiled(*state, images))
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss}")

    return run
