import keras
import numpy as np
import pytest
import tensorflow as tf

from kdet.ops import roi_align

RNG = np.random.default_rng(0)
SIZES = {"P2": (24, 32), "P3": (12, 16), "P4": (6, 8), "P5": (3, 4)}


def by_hand(image, box, size, stride, samples):
    """The operator as its definition reads, one sample at a time; samples 0: adaptive."""
    height, width, channels = image.shape
    x, y, x2, y2 = box[0] / stride, box[1] / stride, (box[2] - 1) / stride, (box[3] - 1) / stride
    w, h = max(x2 - x, 1), max(y2 - y, 1)
    across, down = (samples or int(np.ceil(side / size)) for side in (w, h))
    out = np.zeros((size, size, channels))
    for i in range(size):
        for j in range(size):
            for a in range(down):
                for b in range(across):
                    v = y + (i + (a + 0.5) / down) * h / size
                    u = x + (j + (b + 0.5) / across) * w / size
                    if not (-1 <= v <= height and -1 <= u <= width):
                        continue
                    v, u = np.clip(v, 0, height - 1), np.clip(u, 0, width - 1)
                    i0, j0 = int(v), int(u)
                    i1, j1 = min(i0 + 1, height - 1), min(j0 + 1, width - 1)
                    top = image[i0, j0] * (1 - u + j0) + image[i0, j1] * (u - j0)
                    low = image[i1, j0] * (1 - u + j0) + image[i1, j1] * (u - j0)
                    out[i, j] += (top * (1 - v + i0) + low * (v - i0)) / (down * across)
    return out


@pytest.fixture(scope="module")
def case():
    features = {n: RNG.normal(size=(2, *s, 3)).astype("float32") for n, s in SIZES.items()}
    corner = RNG.uniform(-20, 100, size=(2, 9, 2))
    boxes = np.concatenate([corner, corner + RNG.uniform(0.5, 90, size=(2, 9, 2))], axis=2)
    boxes[0, 0] = [3, 5, 3, 5]  # empty
    boxes[0, 1] = [0, 0, 128, 96]  # everything
    boxes[1, 0] = [-30, -40, 400, 420]  # level 4, far outside
    boxes[1, 1] = [-300, -300, 700, 600]  # level 5
    return features, boxes.astype("float32")


@pytest.mark.parametrize("how", ["gather", "compiled", "resampled"])
def test_pyramid_is_the_definition(case, how):
    features, boxes = case
    run = tf.function(
        lambda f, b: roi_align.multilevel_roi_align(f, b, 3, repeatable=how != "resampled"),
        jit_compile=how == "compiled",
        autograph=False,
    )
    found = np.array(run(features, boxes))
    level = np.array(roi_align.assign_levels(boxes, 2, 5))
    assert set(level.ravel()) == {2, 4, 5} or set(level.ravel()) == {2, 3, 4, 5}
    for image in range(2):
        for box, where, got in zip(boxes[image], level[image], found[image]):
            expected = by_hand(features[f"P{where}"][image], box, 3, 2**where, 2)
            np.testing.assert_allclose(got, expected, atol=2e-5)


def test_compiled_graphs_do_without_the_resampler(case):
    run = tf.function(
        lambda f, b: roi_align.multilevel_roi_align(f, b, 3, repeatable=False),
        jit_compile=True,
        autograph=False,
    )
    np.testing.assert_allclose(run(*case), roi_align.multilevel_roi_align(*case, 3), atol=2e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_adaptive_is_the_definition(case, jit):
    features = case[0]["P2"]
    corner = RNG.uniform(0, 100, size=(2, 40, 2))
    boxes = np.concatenate([corner, corner + RNG.uniform(1, 120, size=(2, 40, 2))], axis=2)
    boxes = np.minimum(boxes, [128, 96, 128, 96]).astype("float32")
    run = tf.function(
        lambda f, b: roi_align.adaptive_roi_align(f, b, 3, 4), jit_compile=jit, autograph=False
    )
    found = np.array(run(features, boxes))
    for image in range(2):
        for box, got in zip(boxes[image], found[image]):
            expected = by_hand(features[image], box, 3, 4, 0)
            np.testing.assert_allclose(got, expected, atol=2e-5)


def test_levels_as_published():
    sides = np.array([10, 111.9, 112.1, 223.9, 224.1, 447.9, 448.1, 2000, 0])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=1).astype("float32")
    found = np.array(roi_align.assign_levels(boxes, 2, 5))
    assert found.tolist() == [2, 2, 3, 3, 4, 4, 5, 5, 2]


def test_gradients_reach_the_features_only(case):
    features = {name: tf.constant(value) for name, value in case[0].items()}
    boxes = tf.constant(case[1])
    for repeatable in (True, False):
        with tf.GradientTape() as tape:
            tape.watch((features, boxes))
            pooled = roi_align.multilevel_roi_align(features, boxes, 3, repeatable=repeatable)
            total = keras.ops.sum(pooled[..., 0])
        slopes, none = tape.gradient(total, (features, boxes))
        assert none is None
        # a bin inside the map spreads a weight of one over its cells
        inside = np.array(pooled != 0).any(axis=-1).sum()
        assert 0 < sum(float(np.sum(s)) for s in slopes.values()) <= inside + 1e-3
