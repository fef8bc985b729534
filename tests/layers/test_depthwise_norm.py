"""One layer instead of three: padding, depthwise convolution, batch norm."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdet.layers.conv_norm import BatchNorm
from kdet.layers.depthwise import DepthwiseNorm


def twins(channels, strides, kernel_size=3, **facts):
    """The layer and its three parts, with the same random numbers in them."""
    ours = DepthwiseNorm(kernel_size, strides, **facts)
    ours.build((None, None, None, channels))
    pad = keras.layers.ZeroPadding2D((kernel_size - 1) // 2)
    conv = keras.layers.DepthwiseConv2D(kernel_size, strides, use_bias=False)
    conv.build((None, None, None, channels))
    norm = BatchNorm()
    norm.build((None, None, None, channels))
    random = np.random.default_rng(0)
    for mine, other in zip(ours.weights, [*conv.weights, *norm.weights], strict=True):
        value = random.uniform(0.5, 2, mine.shape)
        mine.assign(value)
        other.assign(value)
    return ours, lambda x, training: norm(conv(pad(x)), training=training), norm


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("size", [(8, 7), (5, 6), (1, 2), (2, 1)])
def test_equals_its_parts(size, strides, jit):
    ours, parts, _ = twins(5, strides)
    image = tf.random.stateless_normal((2, *size, 5), (1, 2))
    expected = parts(image, False)
    call = tf.function(lambda x: ours(x, training=False), jit_compile=jit)
    np.testing.assert_allclose(call(image), expected, rtol=1e-5, atol=1e-5)
    assert ours.compute_output_shape(image.shape) == expected.shape


@pytest.mark.parametrize("strides", [1, 2])
def test_learns_like_its_parts(strides):
    ours, parts, norm = twins(4, strides, kernel_size=5)
    image = tf.random.stateless_normal((3, 9, 8, 4), (1, 2))
    np.testing.assert_allclose(ours(image, training=True), parts(image, True), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.moving_mean, norm.moving_mean, rtol=1e-6)
    np.testing.assert_allclose(ours.moving_variance, norm.moving_variance, rtol=1e-6)
    frozen, parts, _ = twins(4, strides, trainable=False)
    expected = parts(image, False)
    np.testing.assert_allclose(frozen(image, training=True), expected, rtol=1e-5, atol=1e-5)


def test_half_precision():
    layer = DepthwiseNorm(dtype="mixed_bfloat16")
    image = tf.random.stateless_normal((2, 6, 6, 3), (1, 2))
    for training in (False, True):
        assert layer(image, training=training).dtype == tf.bfloat16
    assert all(v.dtype == "float32" for v in layer.weights)


def test_one_pass():
    """In inference the graph holds one convolution and a bias: nothing is padded or normalised."""
    ours, _, _ = twins(8, 2)
    call = tf.function(lambda x: tf.nn.relu(ours(x, training=False)), autograph=False)
    graph = call.get_concrete_function(tf.TensorSpec((None, None, None, 8))).graph
    image = [o for o in graph.get_operations() if o.outputs and o.outputs[0].shape.rank == 4]
    kinds = [o.type for o in image if o.outputs[0].shape[0] is None]
    assert kinds[:-1] == ["Placeholder", "DepthwiseConv2dNative", "BiasAdd", "Relu"]


def test_saves_and_loads(tmp_path):
    image = keras.Input((None, None, 4))
    start = keras.initializers.RandomUniform(-1, 1)
    model = keras.Model(image, DepthwiseNorm(3, 2, start, name="dw")(image))
    assert model.layers[-1].weights[0].path == "dw/kernel"
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(1, 7, 6, 4)).astype("float32")
    np.testing.assert_array_equal(model(x), again(x))
