"""YOLOv3's loss on a case that runs in the original system too (Paddle 1.6.1 and 1.8.5)."""

import numpy as np
import pytest
import tensorflow as tf

from kdet.config import YOLOv3
from kdet.models.families import family_of
from kdet.models.yolov3.losses import assign, level_losses

CONFIG = YOLOv3()
CANVAS = (320, 320)
# center x, y, width, height, label, score
TRUTH = (
    ((0.5, 0.5, 0.6, 0.7, 0, 1), (0.21, 0.33, 0.1, 0.15, 17, 0.6),
     (0.8, 0.12, 0.03, 0.05, 79, 0.6), (0.7, 0.66, 0.25, 0.2, 5, 0.4)),
    ((0.31, 0.72, 0.02, 0.03, 2, 0.35), (0.44, 0.4, 0.3, 0.5, 40, 0.65)),
)  # fmt: skip
EXPECTED = {  # losses of the two images, sum of the first one's absolute gradients of their mean
    "P5": ((279.73325, 255.83136), 96.30937),
    "P4": ((924.4403, 892.91534), 317.36440),
    "P3": ((3556.6904, 3531.5598), 1214.40333),
}
SIDES = {"P5": 10, "P4": 20, "P3": 40}


def waves(level):
    side = SIDES[level]
    flat = np.arange(2 * 255 * side * side).reshape(2, 255, side, side)
    return tf.constant((0.8 * np.sin(0.1 * flat)).astype("float32").transpose(0, 2, 3, 1))


def padded(rows, count=8):
    table = np.zeros((len(rows), count, 6), "float32")
    for image, row in zip(table, rows):
        image[: len(row)] = np.reshape(row, (-1, 6))
    valid = np.arange(count)[None] < [[len(row)] for row in rows]
    return table, valid


def assigned(rows=TRUTH, config=CONFIG):
    table, valid = padded(rows)
    return assign(
        config, CANVAS, tf.constant(table[..., :4]), table[..., 4].astype(int), valid, table[..., 5]
    )


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("level", EXPECTED)
def test_losses_and_gradients_of_a_level(level, jit):
    @tf.function(jit_compile=jit)
    def step(raw):
        with tf.GradientTape() as tape:
            tape.watch(raw)
            terms = level_losses(CONFIG, raw, assigned(), level)
            total = sum(terms.values())
            mean = tf.reduce_mean(total)
        return total, tape.gradient(mean, raw)

    total, gradient = step(waves(level))
    images, absolute = EXPECTED[level]
    np.testing.assert_allclose(total, images, rtol=3e-6)
    assert np.abs(gradient[0].numpy().astype("float64")).sum() == pytest.approx(absolute, rel=1e-6)


def test_sum_of_the_levels_from_a_batch():
    """The same case as half-open pixels: corners lose no more than rounding on the way."""
    table, valid = padded(TRUTH)
    boxes = np.concatenate(
        [table[..., :2] - table[..., 2:4] / 2, table[..., :2] + table[..., 2:4] / 2], -1
    )
    batch = {
        "image": tf.zeros((2, *CANVAS, 3)),
        "boxes": tf.constant(boxes * 320 + [0, 0, 1, 1], tf.float32),
        "labels": tf.constant(table[..., 4], tf.int32),
        "valid": tf.constant(valid),
        "scores": tf.constant(table[..., 5]),
    }
    found, counts = family_of(CONFIG).targets(CONFIG, batch)
    assert counts["images"] == 2
    # x = 0.7 falls into column 14 of 20 only when it is exactly the float32 nearest to 0.7
    terms = family_of(CONFIG).losses(
        CONFIG, {level: waves(level) for level in SIDES}, found, counts
    )
    assert set(terms) == {"box", "class", "objectness"}
    assert float(sum(terms.values())) == pytest.approx(4720.58514, rel=1e-4)


def test_the_last_of_colliding_boxes_owns_the_prediction():
    first, second = (0.5, 0.5, 0.6, 0.7, 3, 1.0), (0.51, 0.52, 0.55, 0.75, 9, 0.5)
    both, alone = assigned([(first, second)]), assigned([(second,)])
    assert both["P5"]["index"][0, 0] == both["P5"]["index"][0, 1]
    assert both["P5"]["owner"].numpy()[0, :2].tolist() == [False, True]
    np.testing.assert_array_equal(both["P5"]["objectness"], alone["P5"]["objectness"])
    assert both["P5"]["objectness"].numpy().max() == 0.5


def test_an_image_without_boxes_and_boxes_without_size():
    """Only objectness is left, and it is log 2 per prediction where the logit is 0."""
    found = assigned([(), ((0.5, 0.5, 0.0, 0.4, 3, 1),)])
    raw = tf.zeros((2, 10, 10, 255))
    terms = level_losses(CONFIG, raw, found, "P5")
    assert float(tf.reduce_sum(terms["box"] + terms["class"])) == 0
    np.testing.assert_allclose(terms["objectness"], [300 * np.log(2)] * 2, rtol=1e-6)
