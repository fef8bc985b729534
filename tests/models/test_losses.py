import numpy as np
import pytest
import tensorflow as tf

from kdet.config import RetinaNet
from kdet.models.families import family_of
from kdet.models.retinanet.losses import focal_loss
from kdet.ops.boxes import smooth_l1


def test_smooth_l1_by_hand():
    found = smooth_l1(np.array([0.0, 0.05, -0.2, 3.0], "float32"), 3.0)
    np.testing.assert_allclose(found, [0, 0.5 * 9 * 0.0025, 0.2 - 0.5 / 9, 3 - 0.5 / 9], rtol=1e-5)


def test_focal_sum_equals_the_definition():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (5, 4)).astype("float32")
    labels = np.array([2, -1, -2, 0, 3], "int32")
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    expected = []
    for row, label in zip(p, labels):
        terms = [
            -0.25 * (1 - q) ** 2 * np.log(q) if k == label else -0.75 * q**2 * np.log(1 - q)
            for k, q in enumerate(row)
        ]
        expected.append(0.0 if label == -2 else sum(terms))
    np.testing.assert_allclose(focal_loss(logits, labels, 0.25, 2.0), expected, rtol=1e-5)


def batch_of(boxes, counts, side=128):
    truth = np.zeros((len(counts), 3, 4), "float32")
    for row, list_of_boxes in zip(truth, boxes):
        row[: len(list_of_boxes)] = np.reshape(list_of_boxes, (-1, 4))
    return {
        "image": tf.zeros((len(counts), side, side, 3)),
        "boxes": tf.constant(truth),
        "labels": tf.zeros(truth.shape[:2], tf.int32),
        "valid": tf.range(truth.shape[1])[None] < tf.constant(counts)[:, None],
    }


def raw_zeros(batch, classes):
    sides = {f"P{n}": 128 // 2**n for n in range(3, 8)}
    shape = {name: (batch, 9 * side * side) for name, side in sides.items()}
    return {
        "logits": {name: tf.Variable(tf.zeros((*s, classes))) for name, s in shape.items()},
        "deltas": {name: tf.Variable(tf.zeros((*s, 4))) for name, s in shape.items()},
    }


@pytest.mark.parametrize(
    ("boxes", "counts"),
    [
        ([], [0, 0]),
        ([[[3, 3, 4, 4]], []], [1, 0]),
        ([[[0, 0, 128, 128]], [[10, 10, 50, 90]]], [1, 1]),
    ],
    ids=["no objects", "one pixel and nothing", "whole image"],
)
def test_retinanet_is_finite(boxes, counts):
    config = RetinaNet(num_classes=3)
    raw, batch = raw_zeros(2, 3), batch_of(boxes, counts)
    truth, normalisers = family_of(config).targets(config, batch)
    with tf.GradientTape() as tape:
        terms = family_of(config).losses(config, raw, truth, normalisers)
        total = sum(terms.values())
    assert np.isfinite(total)
    for gradient in tape.gradient(total, tf.nest.flatten(raw)):
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()


def test_a_best_anchor_below_the_background_limit_is_background():
    """The normaliser still counts it: the reference's order of rules."""
    config = RetinaNet(num_classes=3)
    truth, counts = family_of(config).targets(config, batch_of([[[3, 3, 4, 4]]], [1]))
    assert (np.array(truth["labels"]) == -1).all()
    assert counts["foreground"] > 1


def test_counts_are_foreground_plus_one_per_image():
    config = RetinaNet(num_classes=3)
    truth, counts = family_of(config).targets(config, batch_of([[[16, 16, 48, 48]]], [1, 0]))
    labels = np.array(truth["labels"])
    assert (labels[0] >= 0).sum() > 0 and (labels[1] == -1).all()
    assert counts["foreground"] == (labels >= 0).sum() + 2
