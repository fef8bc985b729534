"""Sums of maps are operations that TensorFlow merges with convolutions, except in other graphs."""

import numpy as np
import pytest

from kdet.layers import Add
from kdet.ops import graphs

tf = pytest.importorskip("tensorflow")
MAPS = [tf.TensorSpec((None, None, None, 8)) for _ in range(2)]


def operations(**settings):
    """The types of the operations of the graph of a sum."""
    add = Add()
    traced = tf.function(lambda x, y: add([x, y]), MAPS, **settings).get_concrete_function()
    return {op.type for op in traced.graph.get_operations()}


def test_the_usual_graph_has_a_sum_that_can_be_merged():
    assert "AddN" in operations() and "AddV2" not in operations()


def test_graphs_for_other_places_have_the_usual_sum():
    assert "AddV2" in operations(jit_compile=True)
    with graphs.without_xla():
        assert "AddV2" in operations() and "AddN" not in operations()


def test_sums_and_gradients_are_equal_to_those_of_keras():
    random = np.random.default_rng(0)
    x, y, up = (tf.constant(random.normal(size=(2, 5, 4, 8)), tf.float32) for _ in range(3))
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        total = Add()([x, y])
        loss = tf.reduce_sum(up * total)
    np.testing.assert_array_equal(total, x + y)
    for slope in tape.gradient(loss, [x, y]):
        np.testing.assert_array_equal(slope, up)
