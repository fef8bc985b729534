"""Plans for people's own data."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from kdet.config import (
    R50,
    RCNN,
    Recipe,
    Schedule,
    coco_data,
    detectron,
    ssd_data,
    yolo_270e,
)
from kdet.config.labels import VOC_LABELS
from kdet.data.convert.synthetic import make_synthetic
from kdet.data.records import Records
from kdet.data.statistics import Statistics, read_statistics
from kdet.models import names, recipe
from kdet.train.image_size import fitted_size, smallest_side
from kdet.train.optimizer import learning_rate
from kdet.train.plan import (
    fitted_edges,
    fitted_schedule,
    fitted_to_data,
    is_published_data,
    make_plan,
    rare_factor,
)

SSD_ROW = recipe("ssd_mobilenet_v1_voc")


def statistics(sides, size=(480, 640), count=None, labels=None):
    """Square objects in the corner of images of one size."""
    boxes = np.array([(0, 0, side, side) for side in sides], np.float32)
    labels = np.zeros(len(sides), np.int32) if labels is None else np.array(labels, np.int32)
    sizes = np.tile(np.array(size, np.int32), (len(sides), 1))
    counts = np.full(len(sides), count or 1)
    numbers = np.arange(len(sides))
    return Statistics(("a", "b"), sizes, counts, boxes, labels, sizes, numbers, 0 * numbers)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    make_synthetic(folder, 30, 0, (96, 128))
    return Records.open(folder)


def test_statistics_are_those_of_the_records(records):
    found = read_statistics(records)
    assert (
        found.names == records.labels.names and len(found.boxes) == records.index["objects"].sum()
    )
    assert (np.bincount(found.box_records, minlength=30) == records.index["objects"]).all()
    sums = [found.class_weights()[found.labels == label].sum() for label in set(found.labels)]
    assert sums == pytest.approx([1 / len(sums)] * len(sums))
    assert not found.edges.any()
    part = read_statistics(records, most=3, masks=True)
    assert part.edges.min() >= 3  # triangles and more
    assert set(part.box_records.tolist()) <= {0, 14, 29} and len(part.sizes) == 30


def test_a_shorter_schedule_keeps_its_shape():
    """YOLOv3: milestones at 400,000 and 450,000 of 500,200 steps, a warm-up of 4,000 steps."""
    short = yolo_270e().shortened(50_020)
    assert short.milestones == (40_000, 45_000) and short.images == 50_020
    assert short.warmup_images == 5_002  # a tenth, which is less than 256,000
    assert detectron("1x", 0.01).shortened(1_440_000) == detectron("1x", 0.01)


def test_published_classes_are_recognised(records):
    voc = SimpleNamespace(labels=SimpleNamespace(names=VOC_LABELS.names[::-1]))
    assert is_published_data(voc) and not is_published_data(records)
    assert make_plan(SSD_ROW, records, "backbone")[0].schedule.decay_kind == "cosine"


def test_the_row_is_kept_without_fit(records):
    same, lines = make_plan(SSD_ROW, records, "backbone", fit=False)
    assert same == SSD_ROW and "59733 epochs" in lines[0]
    short, lines = make_plan(SSD_ROW, records, "backbone", epochs=10, fit=False)
    assert short.schedule.images == 300 and short.model == SSD_ROW.model
    assert lines == ["schedule of the row, shortened to 10 epochs (--epochs)"]


def test_images_as_large_as_small_objects_need():
    """The smallest class has 40 of 640 x 480 pixels, which are 21.7 at 300; 28 are wanted here."""
    data = ssd_data()
    small = statistics([40] * 10 + [200] * 90, labels=[0] * 10 + [1] * 90)
    assert smallest_side(small, data) == pytest.approx(40 * 300 / (640 * 480) ** 0.5)
    assert fitted_size(data, small, 28).short_side == 416  # 28 / 21.7 * 300 = 388, in steps of 32
    assert fitted_size(data, statistics([200] * 10), 28).short_side == 300
    assert fitted_size(data, statistics([10] * 10), 28).short_side == 512  # the limit
    rare = statistics([10] + [200] * 199, labels=[0] + [1] * 199)
    assert fitted_size(data, rare, 28).short_side == 300  # less than one percent


def test_small_images_are_not_enlarged():
    data = coco_data()
    fitted = fitted_size(data, statistics([15] * 9, (256, 256)), 12)
    assert (fitted.short_side, fitted.long_side) == (256, 256)
    assert fitted.canvas_sizes() == ((256, 256),)
    fitted = fitted_size(data, statistics([60] * 9, (600, 1200)), 12)
    assert (fitted.short_side, fitted.long_side) == (256, 427)  # 800:1333, as in the row


@pytest.mark.parametrize(
    "count, epochs, batch, images",
    [(100, 60, 8, 6000), (300, 60, 32, 18000), (1000, 30, 32, 30000), (10_000, 12, 64, 120_000)],
)
def test_default_length(count, epochs, batch, images):
    planned, lines = fitted_schedule(SSD_ROW, count, "backbone")
    assert planned.schedule.images == images == epochs * count
    assert planned.schedule.batch == batch
    assert lines[0].startswith(f"{epochs} epochs (chosen for {count} images")


def test_the_rate_falls_to_zero_within_the_run():
    planned, _ = fitted_schedule(SSD_ROW, 205, "backbone", epochs=10, batch=16)
    schedule = planned.schedule
    rates = [learning_rate(schedule, images) for images in range(0, 2050, 16)]
    top = max(rates)
    assert top == pytest.approx(schedule.base_lr, rel=0.01)
    assert rates[0] == pytest.approx(0.05 * schedule.base_lr) and rates[-1] < 0.001 * top
    assert rates.index(top) * 16 <= 205 + 16  # a warm-up of a tenth at most
    half = schedule.warmup_images + (schedule.images - schedule.warmup_images) // 2
    assert learning_rate(schedule, half) == pytest.approx(schedule.base_lr / 2, rel=0.01)


def test_the_batch_is_a_multiple_of_the_replicas():
    planned, _ = fitted_schedule(SSD_ROW, 205, "backbone", multiple=6)
    assert planned.schedule.batch == 18


def test_a_start_from_nothing_trains_everything(records):
    row = Recipe("row", RCNN(R50, mask=True), coco_data(max_edges=96), detectron("1x", 0.01))
    planned, lines = make_plan(row, records, "nothing")
    assert planned.model.backbone == replace(R50, norm="batch", freeze_at=0)
    assert any("starts from nothing" in line for line in lines)
    assert (planned.model.width, planned.model.head_width) == (128, 512)
    assert any("half as wide" in line for line in lines)
    planned, _ = make_plan(row, records, "backbone")
    assert planned.model.backbone == R50
    assert (planned.model.width, planned.model.head_width) == (256, 1024)
    assert planned.optimizer.param_groups == row.optimizer.param_groups  # biases: twice the rate
    assert planned.data.max_boxes == 8 and planned.model.roi_batch_size < 512
    rates = [group.lr_multiplier for group in SSD_ROW.optimizer.param_groups]
    planned, _ = fitted_schedule(SSD_ROW, 100, "backbone")
    assert 0.1 in rates and {g.lr_multiplier for g in planned.optimizer.param_groups} == {1.0}


@pytest.mark.parametrize(
    "edges, wanted",
    [([], 16), ([4, 4, 7], 16), ([20] * 100 + [900], 32), ([500] * 10, 128)],
)
def test_edges_of_outlines(edges, wanted):
    """99 of 100 outlines are kept as they are, and the number is a multiple of 16."""
    assert fitted_edges(np.array(edges)) == wanted


def test_every_row_can_be_planned(records):
    for name in names():
        planned, lines = make_plan(recipe(name), records, "backbone", epochs=3)
        assert planned.schedule.images == 90 and len(lines) >= 4, name


def test_images_with_rare_classes_are_repeated(records):
    """The rare class is in a tenth of the images, so its factor is sqrt(0.3 / 0.1)."""
    even = statistics([50] * 20, labels=[0, 1] * 10)
    assert rare_factor(even) == 1.0
    assert rare_factor(statistics([50] * 20, labels=[1] * 2 + [0] * 18)) == pytest.approx(3**0.5)
    long = statistics([50] * 3001, labels=[1] + [0] * 3000)
    assert rare_factor(long) == 1.0  # its objects are not all read
    fitted, lines = fitted_to_data(SSD_ROW, statistics([50] * 10, labels=[1] + [0] * 9), "backbone")
    assert fitted.data.repeat_threshold == 0.3
    assert any("up to 1.7 times as often" in line for line in lines)
    fitted, _ = fitted_to_data(SSD_ROW, even, "backbone")
    assert fitted.data.repeat_threshold == 0


def test_cosine_needs_no_milestones():
    schedule = Schedule(100, (), 1.0, 1, 1, warmup_images=0, decay_kind="cosine")
    rates = [learning_rate(schedule, images) for images in (0, 50, 100, 150)]
    assert rates == pytest.approx([1, 0.5, 0, 0])


def test_large_rows_shrink_to_256_and_ssd_keeps_its_size():
    large = statistics([200] * 9, (300, 400))
    assert fitted_size(recipe("yolov3_mobilenet_v1").data, large, 16).short_side == 256
    assert fitted_size(ssd_data(), large, 20).short_side == 300
