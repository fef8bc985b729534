"""Parts of images decoded alone: the same pixels, wherever they lie and however they are stored."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kdet.config import ssd_data, yolo_data
from kdet.data import Records, train_batches
from kdet.data.augment.axis_filters import axis_filter
from kdet.data.augment.color_mixup import augmented
from kdet.data.augment.resize import Window, resize_weights
from kdet.data.decode import decode, decode_image, decode_part
from kdet.errors import DataError


def photograph(height, width, seed=0):
    """Colours that change slowly, with some noise: what JPEG is for."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 12 + 2, width // 12 + 2, 3)).astype(np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def stored(image, kind="JPEG", **settings):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **settings)
    return file.getvalue()


JPEGS = {
    "4:2:0": {"subsampling": 2},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0},
    "progressive": {"subsampling": 2, "progressive": True},
}
WINDOWS = [(0, 0, 75, 110), (20, 33, 31, 40), (0, 64, 16, 46), (59, 0, 16, 17), (37, 90, 1, 1)]


def part_of(encoded, size, window):
    found, row, column = decode_part(
        tf.constant(encoded), tf.constant(size), tf.constant("7"), *map(tf.constant, window)
    )
    top, left, height, width = window
    assert 0 <= top - row <= 2 and 0 <= left - column <= 2
    return found.numpy()[top - row :, left - column :][:height, :width]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("settings", JPEGS.values(), ids=JPEGS)
def test_a_part_is_that_part_of_the_whole(settings, window):
    encoded = stored(photograph(75, 110), quality=90, **settings)
    top, left, height, width = window
    whole = decode_image(encoded).numpy()[top : top + height, left : left + width]
    np.testing.assert_array_equal(part_of(encoded, (75, 110), window), whole)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("grey", [False, True])
def test_png_and_grey(kind, grey):
    image = photograph(75, 110)
    encoded = stored(image[..., 0] if grey else image, kind)
    for top, left, height, width in WINDOWS:
        whole = decode_image(encoded).numpy()[top : top + height, left : left + width]
        found = part_of(encoded, (75, 110), (top, left, height, width))
        np.testing.assert_array_equal(found, whole)
        assert found.shape == (height, width, 3) and (not grey or (np.ptp(found, 2) == 0).all())


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_another_size_than_recorded_is_an_error(kind, tmp_path, make_record, write_folder):
    encoded = stored(photograph(30, 40), kind)
    for size in ((31, 40), (30, 39), (300, 400)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="image 7 is not of its recorded"):
            part_of(encoded, size, (5, 5, 10, 10))
    item = make_record(0, 60, 80, [(10, 10, 20, 20)], encoded=encoded)
    records = Records.open(write_folder(tmp_path / "w", [item]))
    with pytest.raises(DataError, match="image 100 is not of its recorded size"):
        list(records.iterate(train_batches(records, ssd_data(short_side=32), 1, 2, seed=0)))


@pytest.mark.parametrize("make", [ssd_data, yolo_data])
def test_training_images_are_those_of_the_whole_image(make, folder):
    """What is decoded in part and what is decoded before give the same result."""
    records, data = Records.open(folder), make(short_side=64)
    for k in range(12):
        seed = {"seed": tf.constant([3, k], tf.int64)}
        images = []
        for pixels in (True, False):
            one, other = (decode(records.read(n % 7), 0, pixels) for n in (k, k + 1))
            partner = {"partner": other} if data.augment.mixup else {}
            found = augmented(data, tf.constant(64))({**one, **partner, **seed})
            images.append(found["image"].numpy())
        np.testing.assert_array_equal(*images)


@pytest.mark.parametrize(("start", "length", "offset", "size"), [(0, 90, 0, 90), (7, 61, 20, 35)])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("strips", [None, 15])
def test_lanczos_weights_in_strips_are_the_listed_ones(
    start, length, offset, size, mirrored, strips
):
    """Dense, cut to the image and mirrored beside `resize_weights`, to 2e-4 of 1."""
    window = Window(*map(tf.constant, (start, length, offset, size)))
    side, turned = tf.constant(50), tf.constant(mirrored)
    line = axis_filter("lanczos", window, side, True, turned, strips)
    index, weight = (v.numpy() for v in resize_weights("lanczos", window.length, side))
    expected = np.zeros((50, size))
    for p, q in np.ndindex(*index.shape):
        source = index[p, q] + start - offset
        if 0 <= source < size:
            expected[49 - p if mirrored else p, source] += weight[p, q]
    found = np.zeros((50, size + 400))  # room for what lies outside of the image
    _, reach, wide = line.weight.shape
    for s, j, i in np.ndindex(*line.weight.shape):
        p = int(line.first) + s * wide + i
        if p < line.first + line.count:
            found[p, int(line.base[s]) + j + 200] += line.weight[s, j, i]
    assert not found[:, :200].any() and not found[:, 200 + size :].any()
    np.testing.assert_allclose(found[:, 200 : 200 + size], expected, atol=2e-4)
    cover = expected[int(line.first) :][: int(line.count)].sum(1)
    np.testing.assert_allclose(line.cover[: int(line.count)], cover, atol=4e-4)
