"""What happens to images and boxes, against small NumPy versions of the formulas."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from kdet.config import Data
from kdet.data import transforms
from kdet.data.augment.scale import resize_by_scale
from kdet.data.batch_plan import resized_shape

DATA = Data(short_side=32, long_side=48, pad_to=16)


def bilinear(image, scale, height, width):
    """OpenCV's INTER_LINEAR with fx = fy = scale, in float64: half-pixel centres, edges kept."""

    def axis(size, out):
        place = (np.arange(out) + 0.5) / scale - 0.5
        first = np.floor(place).astype(int)
        share = place - first
        return np.clip(first, 0, size - 1), np.clip(first + 1, 0, size - 1), share

    image = image.astype(np.float64)
    a, b, t = axis(image.shape[0], height)
    image = image[a] * (1 - t)[:, None, None] + image[b] * t[:, None, None]
    a, b, t = axis(image.shape[1], width)
    return image[:, a] * (1 - t)[:, None] + image[:, b] * t[:, None]


SIZES = [(30, 40), (40, 30), (64, 100), (100, 64), (21, 90), (17, 17), (1, 300), (33, 48)]


@pytest.mark.parametrize("size", SIZES)
def test_resize_samples_by_scale_and_pads_with_zeros(size):
    image = np.random.default_rng(0).normal(size=(*size, 3)).astype(np.float32)
    scale, height, width = resized_shape(*size, DATA)
    out = transforms.resize_image(DATA, tf.constant([48, 64]))({"image": tf.constant(image)})
    expected = np.zeros((48, 64, 3))
    expected[:height, :width] = bilinear(image, scale, height, width)
    np.testing.assert_allclose(out["image"], expected, atol=1e-5)
    np.testing.assert_allclose(out["resized_size"], np.float32(scale * np.array(size)), rtol=0)


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize("size", [(30, 40), (100, 64)])
def test_normalising_while_resizing_equals_normalising_first(size, channels):
    data = replace(DATA, channels=channels)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    canvas = tf.constant([80, 64])
    out = transforms.resize_and_pad(data, canvas)({"image": tf.constant(pixels)})["image"]
    first = transforms.normalise(data)({"image": tf.constant(pixels)})
    np.testing.assert_allclose(
        out, transforms.resize_image(data, canvas)(first)["image"], atol=2e-6
    )


def test_resize_by_hand():
    """1 x 2 pixels, 0 and 1, scaled by 2: centres at -0.25, 0.25, 0.75, 1.25; edges repeat."""
    image = tf.constant([[[0.0] * 3, [1.0] * 3]])
    size = (tf.constant(2), tf.constant(4))
    out = resize_by_scale(image, tf.constant(2.0, tf.float64), size, tf.constant([3, 5]))
    row = [0, 0.25, 0.75, 1, 0]
    np.testing.assert_allclose(out, np.repeat([row, row, [0] * 5], 3).reshape(3, 5, 3))


def test_resize_keeps_the_last_row_where_the_size_rounds_up_from_a_half():
    """2.5 * 7 = 17.5 rounds to 18: the last pixel reads at the very edge."""
    image = tf.ones((7, 3, 3))
    size = (tf.constant(18), tf.constant(8))  # 2.5 * 3 = 7.5 -> 8
    out = resize_by_scale(image, tf.constant(2.5, tf.float64), size, tf.constant([18, 8]))
    np.testing.assert_allclose(out, np.ones((18, 8, 3)))


def test_a_canvas_too_small_is_an_error_not_a_crop():
    image = tf.ones((30, 40, 3))
    with pytest.raises(tf.errors.InvalidArgumentError):
        transforms.resize_image(DATA, tf.constant([32, 40]))({"image": image})


def test_normalise():
    image = tf.constant(np.arange(2 * 3 * 3).reshape(2, 3, 3) * 15, tf.uint8)
    out = transforms.normalise(DATA)({"image": image})["image"]
    expected = (np.asarray(image) / 255 - np.array(DATA.mean)) / np.array(DATA.std)
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_boxes_scale_like_inclusive_corners():
    # Inclusive corners 10..19 scaled by 2 are 20..38: half-open 20, 39; not 20, 40.
    out = transforms.scale_boxes(tf.constant([[10.0, 4.0, 20.0, 5.0]]), tf.constant(2.0))
    assert out.numpy().tolist() == [[20.0, 8.0, 39.0, 9.0]]
    assert transforms.scale_boxes(tf.zeros((0, 4)), tf.constant(2.0)).shape == (0, 4)


def mirrored(seed, probability=0.5):
    image = tf.constant(np.arange(2 * 5 * 3).reshape(2, 5, 3), tf.uint8)
    boxes = tf.constant([[1.0, 0.0, 3.0, 2.0], [0.5, 1.0, 4.0, 2.0]])
    example = {"image": image, "boxes": boxes, "seed": tf.constant([0, seed])}
    return example, transforms.flip(probability)(example)


def test_flip_moves_image_and_boxes_together():
    before, after = mirrored(0, probability=1.0)
    np.testing.assert_array_equal(after["image"], before["image"].numpy()[:, ::-1])
    assert after["boxes"].numpy().tolist() == [[2, 0, 4, 2], [1, 1, 4.5, 2]]
    x1, _, x2, _ = after["boxes"].numpy()[0].astype(int)  # the same pixels are inside
    inside = before["image"].numpy()[:, 1:3]
    np.testing.assert_array_equal(after["image"].numpy()[:, x1:x2], inside[:, ::-1])
    before, after = mirrored(0, probability=0.0)
    np.testing.assert_array_equal(after["image"], before["image"])
    assert after["boxes"].numpy().tolist() == before["boxes"].numpy().tolist()


def test_flip_follows_the_seed_and_its_probability():
    def flips(probability):
        return [float(mirrored(s, probability)[1]["boxes"][0, 0]) == 2 for s in range(200)]

    assert flips(0.5) == flips(0.5)
    assert 70 < sum(flips(0.5)) < 130 and 20 < sum(flips(0.2)) < 60


def test_truth_is_padded_and_crowds_are_left_out():
    example = {
        "boxes": tf.constant([[0.0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]]),
        "labels": tf.constant([2, 1, 5]),
        "crowd": tf.constant([False, True, False]),
    }
    out = transforms.pad_truth(4)(example)
    assert out["boxes"].numpy().tolist() == [[0, 0, 1, 1], [0, 0, 3, 3], [0] * 4, [0] * 4]
    assert out["labels"].numpy().tolist() == [2, 5, 0, 0] and out["labels"].dtype == tf.int32
    assert out["valid"].numpy().tolist() == [True, True, False, False]
    empty = {k: v[:0] for k, v in example.items()}
    assert not transforms.pad_truth(4)(empty)["valid"].numpy().any()
