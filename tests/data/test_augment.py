"""Augmented training images: pixels against slow NumPy and Pillow, truth against markers."""

import colorsys
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kdet.config import Augment, Data, ssd_augment, ssd_data, yolo_augment, yolo_data
from kdet.config.text import from_dict, to_dict
from kdet.data import Records, train_batches
from kdet.data.augment.color_mixup import augmented, draw_colours
from kdet.data.augment.view import draw_view
from kdet.errors import ConfigError


def made(data, example, side, seed):
    apply = augmented(data, tf.constant(side))
    found = apply({**example, "seed": tf.constant([0, seed], tf.int64)})
    assert found["image"].dtype == tf.uint8
    found["image"] = tf.cast(found["image"], tf.float32)
    return {k: np.asarray(v) for k, v in found.items() if k != "partner"}


def example_of(image, boxes, **changes):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    truth = {"boxes": boxes, "labels": np.arange(len(boxes), dtype=np.int32)}
    found = {"image": image, **truth, "crowd": np.zeros(len(boxes), bool), **changes}
    return {k: tf.constant(v) if isinstance(v, np.ndarray) else v for k, v in found.items()}


@pytest.mark.parametrize("mixup", [0.0, 1.5])
def test_pixels_are_pillows_of_the_mixed_expanded_cropped_mirrored_image(mixup, make_picture):
    """Slowly: mix, paste on a frame, cut out, mirror, resize. One pass comes to the same."""
    pictures = [make_picture(90, 50), make_picture(60, 70, 1)][: 1 + bool(mixup)]
    (height, width), boxes = np.max([p.shape[:2] for p in pictures], 0), [[10, 10, 40, 60]]
    augment = Augment(expand=0.5, fill=(10, 200, 60), crops=(0.0, 0.3), mixup=mixup)
    data = ssd_data(channels="RGB", augment=augment)
    seen = set()
    for seed in range(16):
        example, *partner = (example_of(picture, boxes) for picture in pictures)
        found = made(data, {**example, **({"partner": partner[0]} if mixup else {})}, 50, seed)
        share = found["scores"][0] if mixup else 1.0
        image = np.zeros((height, width, 3))
        for picture, weight in zip(pictures, (share, 1 - share)):
            image[: picture.shape[0], : picture.shape[1]] += weight * picture
        key = tf.random.experimental.stateless_fold_in(tf.constant([0, seed], tf.int64), 3)
        size = tf.constant([height, width], tf.int32)
        view = draw_view(size, tf.constant(boxes, tf.float32), augment, 0.5, key)
        rows, columns = ([int(v) for v in w] for w in (view.rows, view.columns))
        frame = np.zeros((rows[1] + rows[0] + 90, columns[1] + columns[0] + 70, 3), np.uint8)
        frame += np.array(augment.fill, np.uint8)
        top, left = rows[2], columns[2]
        frame[top : top + height, left : left + width] = np.rint(image)
        part = frame[rows[0] : rows[0] + rows[1], columns[0] : columns[0] + columns[1]]
        part = part[:, ::-1] if view.mirrored else part
        expected = np.asarray(Image.fromarray(part).resize((50, 50), Image.Resampling.LANCZOS))
        difference = np.abs(found["image"] - expected)
        assert difference.mean() < 0.4 and difference.max() < 15  # Pillow clips in between
        seen.add((rows[1] > 90, rows[1] < 90, bool(view.mirrored)))
    assert len(seen) >= 4


ROWS = {
    "expand": ssd_data(augment=Augment(expand=1.0)),
    "crop": ssd_data(augment=Augment(crops=(0.0, 0.1, 0.3, 0.5, 0.7, 0.9))),
    "mixup": yolo_data(augment=Augment(mixup=1.5)),
    "methods": yolo_data(augment=Augment(methods=("nearest", "linear", "cubic", "area"))),
    "ssd": ssd_data(augment=ssd_augment(hue=0.0)),
    "yolo": yolo_data(augment=yolo_augment(hue=0.0, mixup=0.0)),
    "flip": ssd_data(flip=1.0, augment=Augment(brightness=0.1)),
}


@pytest.mark.parametrize("name", ROWS)
def test_boxes_stay_around_what_they_mark(name):
    """A red rectangle on grey ground: where red is, the box is, to within a pixel."""
    data = dataclasses.replace(ROWS[name], channels="RGB")
    image = np.full((120, 160, 3), 100, np.uint8)
    image[30:80, 50:120] = (255, 0, 0)
    changes = {}
    if name == "mixup":
        changes = {"partner": example_of(np.full((90, 200, 3), 100, np.uint8), [])}
    found_one = 0
    for seed in range(16):
        found = made(data, example_of(image, [[50, 30, 120, 80]], **changes), 200, seed)
        if not len(found["boxes"]):
            continue
        pixels = found["image"]
        red = pixels[..., 0] - pixels[..., 1:].max(-1)
        inside = red > red.max() / 2
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        marker = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        slack = 1.5 + 200 / 30 * (data.corners == "inclusive")  # a pixel of the image, magnified
        np.testing.assert_allclose(found["boxes"][0], marker, atol=slack)
        found_one += 1
    assert found_one >= 14


def test_mixup():
    """Weights f and 1 - f on pixels and scores; pixels outside of both are black."""
    data = yolo_data(augment=Augment(mixup=1.5), flip=0.0)
    first = example_of(np.full((40, 80, 3), 200, np.uint8), [[0, 0, 10, 10]])
    partner = example_of(np.full((80, 40, 3), 100, np.uint8), [[5, 5, 20, 20], [1, 1, 9, 9]])
    shares = []
    for seed in range(30):
        found = made(data, {**first, "partner": partner}, 80, seed)
        share = found["scores"][0]
        np.testing.assert_allclose(found["scores"], [share, 1 - share, 1 - share], rtol=1e-5)
        assert found["labels"].tolist() == [0, 0, 1]
        pixels = found["image"][..., 0]
        np.testing.assert_allclose(pixels[10, 10], 200 * share + 100 * (1 - share), atol=0.51)
        np.testing.assert_allclose(pixels[10, 70], 200 * share, atol=0.51)
        np.testing.assert_allclose(pixels[70, 10], 100 * (1 - share), atol=0.51)
        assert pixels[70, 70] == 0
        shares.append(share)
    assert 0.4 < np.mean(shares) < 0.6 and 0.18 < np.std(shares) < 0.32  # Beta(1.5, 1.5): .25
    ended = made(data, {**first, "partner": partner, "mixes": tf.constant(False)}, 80, 0)
    assert ended["scores"].tolist() == [1] and (ended["labels"] == [0]).all()


def colours(augment, grey=100.0, count=60):
    for k in range(count):
        matrix, light = draw_colours(augment, tf.constant(grey), tf.constant([0, k]))
        yield matrix.numpy(), float(light)


def test_brightness_and_contrast():
    pixel = np.array([120.0, 60.0, 30.0])
    for matrix, light in colours(Augment(brightness=0.125)):
        ratio = (pixel @ matrix + light) / pixel
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
        assert 0.875 <= ratio[0] <= 1.125
    for about, fixed in (("mean", 100.0), ("black", 0.0)):
        factors = []
        for matrix, light in colours(Augment(contrast=0.5, contrast_about=about)):
            np.testing.assert_allclose(np.full(3, fixed) @ matrix + light, fixed, atol=1e-3)
            factors.append(matrix[0, 0])
        assert 0.5 <= min(factors) < 0.7 and 1.3 < max(factors) <= 1.5
        assert 18 < factors.count(1.0) < 42  # half of them change nothing


def test_saturation_and_hue_keep_greys_and_luma():
    grey, pixel = np.full(3, 77.0), np.array([200.0, 90.0, 40.0])
    luma = np.array([0.299, 0.587, 0.114])
    hues = []
    for matrix, light in colours(Augment(saturation=0.5, hue=25.4)):
        np.testing.assert_allclose(grey @ matrix + light, grey, atol=0.3)
        np.testing.assert_allclose((pixel @ matrix) @ luma, pixel @ luma, atol=1)
        hues.append(colorsys.rgb_to_hsv(*(pixel @ matrix))[0] * 360)
    hues = (np.array(hues) + 180) % 360
    assert 8 < np.std(hues) < 20 and np.ptp(hues) < 80


def test_values_are_clipped_not_wrapped():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, 10:] = 255
    data = ssd_data(augment=Augment(brightness=0.5, contrast=0.9))
    for seed in range(10):
        pixels = made(data, example_of(image, []), 20, seed)["image"]
        assert -0.01 <= pixels.min() and pixels.max() <= 255.01
        assert pixels.max() - pixels.min() > 10


def test_every_value_is_the_same_from_any_start_and_share(folder):
    records = Records.open(folder)
    data = yolo_data(short_side=96, augment=yolo_augment(min_side=32, mixup_images=12))

    def batches(**changes):
        dataset = train_batches(records, data, 4, changes.pop("steps", 6), 5, **changes)
        return [{k: v.numpy() for k, v in b.items()} for b in dataset]

    whole = batches()
    sides = [b["image"].shape[1] for b in whole]
    assert set(sides) <= {32, 64, 96} and len(set(sides)) > 1
    second = batches(shard=(1, 2), start_step=2, steps=9)[:4]  # of two workers, started again
    for ours, all_ in zip(second, whole[2:], strict=True):
        for key in ours:
            np.testing.assert_array_equal(ours[key], all_[key][2:], err_msg=key)
    scores = [b["scores"][b["valid"]] for b in whole]
    assert all((s < 1).any() for s in scores[:3]) and all((s == 1).all() for s in scores[3:])


HARD = [(8, 8, 1), (1, 50, 1), (50, 1, 1), (64, 48, 0), (90, 120, 300), (900, 1200, 2)]


@pytest.mark.parametrize("row", ["ssd", "yolo"])
def test_hard_images_survive(row, tmp_path, write_folder, make_record):
    """Tiny, thin, empty, crowded and huge; one-pixel boxes."""
    items = [
        make_record(k, h, w, [(j % max(w - 1, 1), j % max(h - 1, 1), 1, 1) for j in range(n)])
        for k, (h, w, n) in enumerate(HARD)
    ]
    records = Records.open(write_folder(tmp_path / "hard", items))
    data = ssd_data(short_side=64, max_boxes=300) if row == "ssd" else yolo_data(short_side=64)
    for batch in train_batches(records, data, 6, 4, seed=1):
        assert np.isfinite(batch["image"]).all() and batch["image"].shape == (6, 64, 64, 3)
        boxes = batch["boxes"].numpy()[batch["valid"].numpy()]
        assert (boxes >= 0).all() and (boxes <= 64).all() and (boxes[:, 2:] >= boxes[:, :2]).all()


def test_configuration():
    assert from_dict(to_dict(yolo_data())) == yolo_data() and from_dict(to_dict(ssd_data()))
    assert yolo_data().train_sides() == tuple(range(320, 609, 32))
    assert yolo_data(short_side=128).train_sides() == (128,) and ssd_data().train_sides() == (300,)
    with pytest.raises(ConfigError, match="stretch"):
        Data(augment=ssd_augment())
