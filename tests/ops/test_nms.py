import numpy as np
import pytest
import tensorflow as tf

from kdet.ops import nms


def overlap(a, b, min_overlap):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0 or min(width, height) < min_overlap:
        return 0.0
    shared = np.float32(width) * np.float32(height)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return shared / (sum(areas) - shared)


def greedy(boxes, scores, valid, threshold, keep, classes, min_overlap=0.0):
    """The definition, one box at a time."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        rivals = [k for k in kept if classes is None or classes[k] == classes[i]]
        if valid[i] and all(overlap(boxes[i], boxes[k], min_overlap) <= threshold for k in rivals):
            kept.append(i)
    return kept[:keep]


def crowd(seed, batch=2, count=300):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (batch, count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 40, (batch, count, 2))], -1)
    scores = rng.choice(np.linspace(0, 1, 150), (batch, count))  # with equal scores
    return boxes.astype("float32"), scores.astype("float32"), rng.random((batch, count)) < 0.8


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(("classes", "block", "keep"), [(1, 256, 20), (4, 64, 40), (4, 512, 300)])
def test_equals_greedy(jit, classes, block, keep):
    boxes, scores, valid = crowd(classes + block)
    labels = np.random.default_rng(1).integers(0, classes, scores.shape).astype("int32")
    run = tf.function(nms.batched_nms, jit_compile=jit)
    index, taken = run(boxes, scores, valid, 0.5, keep, labels, 1.0, block)
    for b in range(len(boxes)):
        expected = greedy(boxes[b], scores[b], valid[b], 0.5, keep, labels[b], 1.0)
        assert list(np.array(index[b])[taken[b]]) == expected


def test_no_candidate_survives_without_a_valid_one():
    boxes, scores, valid = crowd(0, count=10)
    index, taken = nms.batched_nms(boxes, scores, np.zeros_like(valid), 0.5, 5)
    assert not np.any(taken) and not np.any(index)


def test_fewer_candidates_than_asked_for():
    boxes = np.array([[[0, 0, 4, 4], [0, 0, 4, 4], [9, 9, 12, 12]]], "float32")
    index, taken = nms.batched_nms(
        boxes, np.array([[0.2, 0.9, 0.5]], "float32"), np.ones((1, 3), bool), 0.5, 8
    )
    assert np.array(taken)[0].tolist() == [True, True] + [False] * 6
    assert np.array(index)[0, :2].tolist() == [1, 2]


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("pairs", [900, 120])
def test_multiclass_equals_greedy_class_by_class(jit, pairs):
    """Below the threshold and beyond `per_class` nothing counts; 120 pairs are enough for 12."""
    boxes, _, _ = crowd(5)
    scores = np.random.default_rng(6).uniform(size=(2, 300, 3)).astype("float32")
    run = tf.function(nms.multiclass_nms, jit_compile=jit)
    found = run(boxes, scores, 0.3, 0.5, 12, 40, pairs)
    for b in range(2):
        rows = []
        for k in range(3):
            own = scores[b, :, k]
            valid = (own > 0.3) & (own >= np.sort(own)[-40])
            rows += [(own[i], k, i) for i in greedy(boxes[b], own, valid, 0.5, 300, None)]
        rows = sorted(rows, reverse=True)[:12]
        assert found["valid"][b].numpy().all()
        assert found["labels"][b].numpy().tolist() == [k for _, k, _ in rows]
        np.testing.assert_array_equal(found["scores"][b], [score for score, _, _ in rows])
        np.testing.assert_array_equal(found["boxes"][b], [boxes[b, i] for _, _, i in rows])


def test_multiclass_takes_an_unknown_number_of_boxes():
    """Places left over among the pairs must not crowd out weaker boxes of the other classes."""
    boxes = np.arange(30, dtype="float32")[None, :, None] * 20 + np.array([0, 0, 10, 10])
    boxes, scores = boxes.astype("float32"), np.full((1, 30, 2), 0.2, "float32")
    scores[0, 0] = 0.9
    signature = [tf.TensorSpec((None, None, n)) for n in (4, 2)]
    run = tf.function(lambda b, s: nms.multiclass_nms(b, s, 0.1, 0.5, 70, 40, 60), signature)
    assert run(boxes, scores)["valid"].numpy().sum() == 60


def test_multiclass_keeps_no_more_than_per_class():
    boxes = np.arange(10, dtype="float32")[None, :, None] * 20 + np.array([0, 0, 10, 10])
    scores = np.linspace(0.9, 0.1, 10, dtype="float32")[None, :, None]
    found = nms.multiclass_nms(tf.constant(boxes, tf.float32), tf.constant(scores), 0.05, 0.5, 8, 3)
    assert found["valid"].numpy().sum() == 3
    assert not found["boxes"].numpy()[0, 3:].any()
