"""Resizing against OpenCV's own numbers and against Pillow itself."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kdet.data.augment.resize import METHODS, Window, resample, resize, resize_weights, whole

OPENCV = json.loads(
    (pathlib.Path(__file__).parents[1] / "data_files/resize/opencv.json").read_text()
)


def resized(image, method, size):
    return resize(tf.constant(image), method, tuple(map(tf.constant, size))).numpy()


@pytest.mark.parametrize("case", OPENCV["resized"], ids=lambda c: f"{c['method']}-{c['size']}")
def test_as_opencv(case):
    """5 x 7 pixels shrunk, grown, and one of each; OpenCV's fixed point is off by one at most."""
    image = np.array(OPENCV["image"], np.uint8)[..., None]
    found = resized(image, case["method"], case["size"])[..., 0]
    difference = np.abs(found - np.array(case["pixels"]))
    assert difference.max() <= 1 and difference.mean() < 0.1


@pytest.mark.parametrize("size", [(30, 40), (211, 93), (8, 8), (1, 300), (1, 1), (60, 60)])
def test_lanczos_as_pillow(size):
    """One axis after the other, columns first, as every Pillow did then; today's may turn it."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    columns = Image.fromarray(image).resize((60, size[0]), Image.Resampling.LANCZOS)
    expected = np.asarray(columns.resize((60, 60), Image.Resampling.LANCZOS))
    difference = np.abs(resized(image, "lanczos", (60, 60)) - expected)
    assert difference.max() <= 1 and difference.mean() < 1e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("length", "count"), [(1, 5), (9, 4), (4, 9), (64, 7), (7, 7)])
def test_weights_sum_to_one_and_look_inside(method, length, count):
    index, weight = resize_weights(method, tf.constant(length), tf.constant(count))
    assert index.shape == weight.shape and index.shape[0] == count
    np.testing.assert_allclose(np.sum(weight, 1), 1, atol=1e-6)
    assert np.min(index) >= 0 and np.max(index) < length


def test_cubic_by_hand():
    """Halfway between pixels Keys' kernel of a = -0.75 is -3/32, 19/32, 19/32, -3/32."""
    _, weight = resize_weights("cubic", tf.constant(8), tf.constant(4))
    np.testing.assert_allclose(weight[1], [-3 / 32, 19 / 32, 19 / 32, -3 / 32], atol=1e-7)


def test_a_window_beside_the_image_is_zero_there():
    """A frame of 4 x 6 with a 2 x 3 image at row 1, column 2; its columns 1..4, rows all."""
    image = np.arange(1, 7, dtype=np.uint8).reshape(2, 3, 1)
    rows, columns = Window(0, 4, 1, 2), Window(1, 4, 2, 3)
    lines = [
        (w, *resize_weights("nearest", tf.constant(w.length), tf.constant(4)))
        for w in (rows, columns)
    ]
    found = resample(tf.constant(image), *lines)[..., 0].numpy()
    assert found.tolist() == [[0, 0, 0, 0], [0, 1, 2, 3], [0, 4, 5, 6], [0, 0, 0, 0]]


def test_the_same_size_is_the_same_image(make_picture):
    image = make_picture(9, 13)
    for method in METHODS:
        np.testing.assert_array_equal(resized(image, method, (9, 13)), image, err_msg=method)
    assert whole(5) == (0, 5, 0, 5)
