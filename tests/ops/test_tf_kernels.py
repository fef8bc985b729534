"""Islands: compiled by XLA inside a graph, and left out where a graph must run anywhere."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdet.config import SSD
from kdet.models.detector import build
from kdet.ops import graphs, tf_kernels
from kdet.serving.saved_model import export


def compiled_calls(function):
    return [
        op
        for op in function.graph.get_operations()
        if "_XlaMustCompile" in op.node_def.attr and op.get_attr("_XlaMustCompile")
    ]


def double(x):
    return {"twice": 2 * x, "shape": tf.shape(x)}


@pytest.mark.parametrize("size", [3, 5])
def test_an_island_gives_what_the_function_gives(size):
    x = tf.range(size, dtype=tf.float32)
    spec = [tf.TensorSpec((None,), tf.float32)]
    traced = tf.function(lambda x: tf_kernels.xla_compiled(double, x), spec).get_concrete_function()
    assert len(compiled_calls(traced)) == 1
    for found in (traced(x), tf_kernels.xla_compiled(double, x)):
        np.testing.assert_array_equal(found["twice"], 2 * np.arange(size))
        assert found["shape"] == size


def test_no_island_inside_of_xla_nor_in_portable_graphs():
    spec = [tf.TensorSpec((3,), tf.float32)]
    outer = tf.function(lambda x: tf_kernels.xla_compiled(double, x), spec, jit_compile=True)
    assert not compiled_calls(outer.get_concrete_function())
    np.testing.assert_array_equal(outer(tf.ones(3))["twice"], [2, 2, 2])
    with graphs.without_xla():
        plain = tf.function(
            lambda x: tf_kernels.xla_compiled(double, x), spec
        ).get_concrete_function()
    assert not compiled_calls(plain)


def test_saved_models_need_no_xla(tmp_path):
    """The detector's own graph has islands; the exported one has none, and agrees."""
    keras.utils.set_random_seed(0)
    detector = build(SSD(num_classes=3))
    image = np.random.default_rng(0).integers(0, 256, (1, 90, 120, 3)).astype("uint8")
    path = export(detector, tmp_path / "model")
    assert b"_XlaMustCompile" not in (path / "saved_model.pb").read_bytes()
    served = tf.saved_model.load(path).signatures["serving_default"](tf.constant(image))
    found = detector.detect(image[0], threshold=0.0)[0]
    count = int(served["num_detections"][0])
    np.testing.assert_allclose(served["scores"][0, :count], found.scores, atol=1e-6)
    np.testing.assert_allclose(served["boxes"][0, :count], found.boxes, atol=1e-3)
    graph = detector._compiled.get_concrete_function()
    assert len(compiled_calls(graph)) >= 1
