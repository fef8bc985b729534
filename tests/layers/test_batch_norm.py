"""The fused kernel against Keras's own layer: outputs, statistics, gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdet.layers.conv_norm import BatchNorm


def step(layer, image, weight):
    """Output, gradients of image, gamma and beta, and the statistics after one training step."""
    with tf.GradientTape() as tape:
        tape.watch(image)
        output = layer(image, training=True)
        loss = tf.reduce_sum(output * weight)
    gradients = tape.gradient(loss, [image, layer.gamma.value, layer.beta.value])
    return [output, *gradients, layer.moving_mean.value, layer.moving_variance.value]


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("shape", [(4, 5, 7, 3), (2, 1, 1, 8)])
def test_fused_equals_keras(shape, jit):
    random = np.random.default_rng(0)
    image, weight = (tf.constant(random.normal(2, 3, shape), tf.float32) for _ in range(2))
    ours = BatchNorm()
    theirs = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    for layer in (ours, theirs):
        layer.build(shape)
        layer.gamma.assign(np.linspace(0.5, 2, shape[-1]))
        layer.beta.assign(np.linspace(-1, 1, shape[-1]))
    got = tf.function(lambda: step(ours, image, weight), jit_compile=jit)()
    for mine, other in zip(got, step(theirs, image, weight)):
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=2e-4)
    for layer in (ours, theirs):  # and with the statistics just learned
        layer.moving_mean.assign(np.linspace(-1, 1, shape[-1]))
        layer.moving_variance.assign(np.linspace(1, 2, shape[-1]))
    np.testing.assert_allclose(ours(image), theirs(image), rtol=1e-5, atol=1e-5)


def test_frozen_layer_normalises_with_its_statistics_and_keeps_them():
    layer = BatchNorm(trainable=False)
    image = tf.random.stateless_normal((2, 3, 3, 4), (1, 2)) + 5
    np.testing.assert_allclose(layer(image, training=True), image / np.sqrt(1 + 1e-5), rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(4))


def test_half_precision_keeps_float32_statistics():
    layer = BatchNorm(dtype="mixed_bfloat16")
    output = layer(tf.ones((2, 4, 4, 3), tf.bfloat16) * 7, training=True)
    assert output.dtype == tf.bfloat16
    np.testing.assert_allclose(layer.moving_mean, np.full(3, 0.7), rtol=1e-6)


def test_the_statistics_of_a_large_map_are_exact():
    """TensorFlow's own kernel for CPUs is off by 1e-5 and 5e-5 here."""
    image = np.random.default_rng(0).normal(2, 1, (16, 150, 150, 32)).astype(np.float32)
    layer = BatchNorm(momentum=0.0)
    layer(image, training=True)
    exact = image.astype(np.float64)
    np.testing.assert_allclose(layer.moving_mean, exact.mean((0, 1, 2)), rtol=2e-6)
    np.testing.assert_allclose(layer.moving_variance, exact.var((0, 1, 2)), rtol=2e-5)
