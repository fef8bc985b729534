"""What the single-stage rows are fed: sizes, colours, boxes and truth of SSD and YOLOv3."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kdet.config import Augment, Data, ssd_data, yolo_data
from kdet.data import Records, eval_batches, image_batch, prepare, train_batches
from kdet.data.batch_plan import resized_shape
from kdet.errors import ConfigError

SSD = ssd_data(short_side=32, max_boxes=4, augment=Augment())
YOLO = yolo_data(short_side=64, max_boxes=2, augment=Augment())


def test_sizes():
    scale, height, width = resized_shape(np.array([30, 64]), np.array([40, 16]), SSD)
    assert (height == 32).all() and (width == 32).all()
    np.testing.assert_allclose(scale, [[32 / 30, 0.5], [0.8, 2]])
    assert SSD.canvas_sizes() == ((32, 32),)
    assert resized_shape(tf.constant(30), tf.constant(40), SSD, xp=tf)[1].dtype == tf.int32
    for wrong in ({"canvases": ((32, 32),)}, {"interpolation": "area"}):
        with pytest.raises(ConfigError):
            dataclasses.replace(SSD, **wrong)
    with pytest.raises(ConfigError):
        Data(interpolation="lanczos")


def test_ssd_sees_pillows_lanczos_as_bgr_around_zero(make_picture):
    image = make_picture(45, 60)
    found = prepare(image, SSD)
    columns = Image.fromarray(image).resize((32, 45), Image.Resampling.LANCZOS)
    small = np.asarray(columns.resize((32, 32), Image.Resampling.LANCZOS))
    expected = (small[..., ::-1].astype(np.float32) - 127.5) / 127.502231
    np.testing.assert_allclose(found["image"], expected, atol=1.01 / 127.5)
    assert np.mean(np.abs(found["image"] - expected)) < 1e-4
    assert found["resized_size"].numpy().tolist() == [32, 32]
    assert found["original_size"].numpy().tolist() == [45, 60]


def test_one_preparation_for_all(folder, make_picture):
    """Evaluation, prediction and a traced call agree bit by bit; any sizes share one shape."""
    records = Records.open(folder)
    for data in (SSD, YOLO):
        batch = next(iter(eval_batches(records, data, 7)))
        assert batch["image"].shape == (7, data.short_side, data.short_side, 3)
        assert sorted(batch["image_id"].numpy()) == list(range(100, 107))
        pictures = [make_picture(30, 40), make_picture(40, 30), make_picture(8, 8)]
        together = image_batch(pictures, data)["image"]
        traced = tf.function(lambda image, d=data: prepare(image, d)["image"])
        for one, image in zip(together, pictures):
            np.testing.assert_array_equal(one, prepare(image, data)["image"])
            np.testing.assert_array_equal(one, traced(image))


def test_boxes_are_edges_to_ssd_and_inclusive_corners_to_yolo(folder):
    """Record 0: 30 x 40, box 1 2 10 9 (x y w h)."""
    records = Records.open(folder)
    for data, far in ((SSD, (11 * 0.8, 11 * 32 / 30)), (YOLO, (10 * 1.6 + 1, 10 * 64 / 30 + 1))):
        data, s = dataclasses.replace(data, flip=0.0), data.short_side
        for batch in train_batches(records, data, 7, 2, seed=0):
            row = batch["image_id"].numpy().tolist().index(100)
            expected = [1 * s / 40, 2 * s / 30, *far]
            np.testing.assert_allclose(batch["boxes"][row, 0], expected, rtol=1e-5)


def test_a_box_over_the_whole_image_stays_inside(tmp_path, write_folder, make_record):
    records = Records.open(
        write_folder(tmp_path / "w", [make_record(0, 90, 120, [(0, 0, 120, 90)])])
    )
    for data in (SSD, YOLO):
        batch = next(iter(train_batches(records, data, 1, 1, seed=0)))
        assert batch["boxes"][0, 0].numpy().tolist() == [0, 0, data.short_side, data.short_side]


def test_yolo_keeps_the_first_objects_and_refuses_nothing(folder):
    records = Records.open(folder)
    assert records.index["objects"].max() == 3
    for batch in train_batches(records, YOLO, 7, 1, seed=0):
        wanted = np.minimum(records.index["objects"][batch["image_id"].numpy() - 100], 2)
        assert batch["valid"].numpy().sum(1).tolist() == wanted.tolist()
