"""SSD's loss on a case that runs in the original system too (Paddle 1.6.1 and 1.8.5)."""

import numpy as np
import pytest
import tensorflow as tf

from kdet.config import SSD
from kdet.models.families import family_of
from kdet.models.ssd.losses import _hardest

CONFIG = SSD()
# x1, y1, x2, y2 as fractions, label counted from 1
TRUTH = (
    ((0.1, 0.1, 0.5, 0.6, 12), (0.55, 0.3, 0.95, 0.9, 15), (0.4, 0.05, 0.5, 0.2, 7)),
    ((0.2, 0.25, 0.8, 0.75, 3),),
)


def waves(factor, step, size):
    flat = np.arange(2 * 1917 * size).reshape(2, 1917, size)
    return (factor * np.sin(step * flat)).astype("float32")


def batch_of(rows, count=6):
    table = np.zeros((len(rows), count, 5), "float32")
    for image, row in zip(table, rows):
        image[: len(row)] = np.reshape(row, (-1, 5))
    return {
        "image": tf.zeros((len(rows), 300, 300, 3)),
        "boxes": tf.constant(table[..., :4] * 300),
        "labels": tf.constant(np.maximum(table[..., 4] - 1, 0), tf.int32),
        "valid": tf.constant(np.arange(count)[None] < [[len(row)] for row in rows]),
    }


@pytest.mark.parametrize("jit", [False, True])
def test_losses_and_gradients(jit):
    deltas = tf.constant(waves(0.5, 0.3, 4))
    logits = tf.constant(waves(2.0, 0.7, 21) + 2 * np.eye(21, dtype="float32")[0])

    @tf.function(jit_compile=jit)
    def step(deltas, logits, batch):
        truth, counts = family_of(CONFIG).targets(CONFIG, batch)
        with tf.GradientTape() as tape:
            tape.watch([deltas, logits])
            terms = family_of(CONFIG).losses(
                CONFIG, {"deltas": deltas, "logits": logits}, truth, counts
            )
            total = sum(terms.values())
        return truth, counts, total, tape.gradient(total, [deltas, logits])

    truth, counts, total, gradients = step(deltas, logits, batch_of(TRUTH))
    assert (truth["labels"].numpy() >= 0).sum(axis=1).tolist() == [31, 10]
    assert counts["foreground"] == 41
    assert float(total) == pytest.approx(13.887687 + 4.270619, rel=1e-6)
    found = [np.abs(g.numpy().astype("float64")).sum() for g in gradients]
    assert found == pytest.approx([2.85197, 7.77664], rel=5e-6)


def test_losses_of_one_image():
    """The second image alone, over the positives of both."""
    raw = {"deltas": waves(0.5, 0.3, 4)[1:], "logits": waves(2.0, 0.7, 21)[1:].copy()}
    raw["logits"][..., 0] += 2
    truth, counts = family_of(CONFIG).targets(CONFIG, batch_of(TRUTH[1:]))
    assert counts["foreground"] == 10
    terms = family_of(CONFIG).losses(CONFIG, raw, truth, {"foreground": tf.constant(41.0)})
    assert float(sum(terms.values())) == pytest.approx(4.270619, rel=1e-6)


def test_without_boxes_the_loss_is_zero_and_finite():
    raw = {"deltas": waves(0.5, 0.3, 4), "logits": waves(2.0, 0.7, 21)}
    truth, counts = family_of(CONFIG).targets(CONFIG, batch_of([(), ()]))
    assert counts["foreground"] == 0
    terms = family_of(CONFIG).losses(CONFIG, raw, truth, counts)
    assert {name: float(value) for name, value in terms.items()} == {"class": 0, "box": 0}


def test_a_box_of_no_size_changes_nothing():
    rows = [TRUTH[1], ((0.5, 0.5, 0.5, 0.5, 2), *TRUTH[1])]
    truth, _ = family_of(CONFIG).targets(CONFIG, batch_of(rows))
    np.testing.assert_array_equal(truth["labels"][0], truth["labels"][1])
    np.testing.assert_array_equal(truth["deltas"][0], truth["deltas"][1])


def test_hardest_by_hand():
    """One foreground prior allows two and a half, so two, of the background."""
    entropy = np.array([[9.0, 0.1, 0.7, 0.5, 0.6]], "float32")
    foreground = np.array([[True, False, False, False, False]])
    found = _hardest(tf.constant(entropy), tf.constant(foreground), 2.5)
    assert found.numpy().tolist() == [[False, False, True, False, True]]
