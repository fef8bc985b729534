import numpy as np
import pytest
import tensorflow as tf

from kdet.ops import boxes as box_ops
from kdet.ops.matching import TIE, best_match


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 90, (400, 2))
    anchors = np.concatenate([corner, corner + rng.uniform(4, 40, (400, 2))], -1)
    corner = rng.uniform(0, 90, (3, 6, 2))
    truth = np.concatenate([corner, corner + rng.uniform(4, 40, (3, 6, 2))], -1)
    valid = np.arange(6)[None] < np.array([[6], [2], [0]])
    return anchors.astype("float32"), truth.astype("float32"), valid


@pytest.mark.parametrize("jit", [False, True])
def test_equals_the_full_matrix(scene, jit):
    anchors, truth, valid = scene
    found = tf.function(best_match, jit_compile=jit)(anchors, truth, valid)
    overlap, index, closest = map(np.array, found)
    for b, count in enumerate(valid.sum(axis=1)):
        if count == 0:
            assert not overlap[b].any() and not closest[b].any()
            continue
        matrix = np.array(box_ops.iou(anchors, truth[b, :count]))
        np.testing.assert_allclose(overlap[b], matrix.max(axis=1), rtol=1e-6)
        np.testing.assert_array_equal(index[b], matrix.argmax(axis=1))
        best = matrix.max(axis=0)
        np.testing.assert_array_equal(closest[b], (best - matrix < TIE).any(axis=1))
