import numpy as np
import pytest
import tensorflow as tf

from kdet.models.ssd.losses import bipartite_match
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


def test_best_match_takes_anchors_of_each_image(scene):
    anchors, truth, valid = scene
    own = np.stack([anchors, anchors[::-1], anchors])
    shared, reverse = best_match(anchors, truth, valid), best_match(own, truth, valid)
    for a, b in zip(shared, reverse):
        np.testing.assert_array_equal(np.array(a)[1], np.array(b)[1, ::-1])


@pytest.mark.parametrize("jit", [False, True])
def test_greedy_assignment_by_hand(jit):
    """Box 0 takes anchor 1; box 1, whose best that was, takes anchor 2; anchor 0 joins box 0."""
    overlap = [[0.6, 0.1, 0.0], [0.9, 0.8, 0.0], [0.4, 0.5, 0.0], [0.45, 0.3, 0.0], [0, 0, 0]]
    overlap = tf.constant([overlap, overlap, overlap], tf.float32)
    valid = np.array([[True] * 3, [False, True, False], [False] * 3])
    run = tf.function(bipartite_match, jit_compile=jit)
    found = run(overlap, tf.constant(valid), 0.5).numpy().tolist()
    # alone, box 1 takes anchor 1 and anchor 2 joins it; box 2 touches nothing
    assert found == [[0, 0, 1, -1, -1], [-1, 1, 1, -1, -1], [-1] * 5]
