"""The twenty two-stage rows: schedules and parameter counts of the published table."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from kdet import models
from kdet.config import R50, RCNN, ConfigError, c4, drawn
from kdet.train.optimizer import rule_of
from kdet.weights.names import reference_name

# name without its schedule: (tensors, scalars, trainable scalars)
TOTALS = {
    "faster_rcnn_r50": (169, 33852960, 33577440),
    "mask_rcnn_r50": (173, 35971185, 35695665),
    "faster_rcnn_r50_vd": (175, 33872192, 33577440),
    "faster_rcnn_r50_fpn": (189, 41757156, 41481636),
    "mask_rcnn_r50_fpn": (201, 44400693, 44125173),
    "cascade_rcnn_r50_fpn": (205, 69407066, 69131546),
    "faster_rcnn_r50_vd_fpn": (195, 41776388, 41481636),
    "mask_rcnn_r50_vd_fpn": (207, 44419925, 44125173),
    "faster_rcnn_r101": (322, 52845088, 52517344),
    "faster_rcnn_r101_fpn": (342, 60749284, 60421540),
    "mask_rcnn_r101_fpn": (354, 63392821, 63065077),
    "faster_rcnn_r101_vd_fpn": (348, 60768516, 60421540),
    "faster_rcnn_x101_vd_64x4d_fpn": (348, 99674628, 99055012),
    "faster_rcnn_se154_vd_fpn": (701, 137937172, 137083172),
    "mask_rcnn_se154_vd_fpn": (713, 140580709, 139726709),
}
# name: images per step, rate, steps (thousands) of both cuts and the end, steps of warm-up, factor
SCHEDULES = {
    "faster_rcnn_r50_1x": (8, 0.01, (120, 160, 180), 500, 1 / 3),
    "faster_rcnn_r50_2x": (8, 0.01, (240, 320, 360), 500, 1 / 3),
    "mask_rcnn_r50_1x": (8, 0.01, (120, 160, 180), 500, 1 / 3),
    "mask_rcnn_r50_2x": (8, 0.01, (240, 320, 360), 500, 1 / 3),
    "faster_rcnn_r50_vd_1x": (8, 0.01, (120, 160, 180), 1000, 0.1),
    "faster_rcnn_r50_fpn_1x": (16, 0.02, (60, 80, 90), 500, 1 / 3),
    "faster_rcnn_r50_fpn_2x": (16, 0.02, (120, 160, 180), 500, 1 / 3),
    "mask_rcnn_r50_fpn_1x": (8, 0.01, (120, 160, 180), 500, 1 / 3),
    "cascade_rcnn_r50_fpn_1x": (16, 0.02, (60, 80, 90), 500, 1 / 3),
    "faster_rcnn_r50_vd_fpn_2x": (16, 0.02, (120, 160, 180), 500, 1 / 3),
    "mask_rcnn_r50_vd_fpn_2x": (8, 0.01, (240, 320, 360), 500, 1 / 3),
    "faster_rcnn_r101_1x": (8, 0.01, (120, 160, 180), 500, 1 / 3),
    "faster_rcnn_r101_fpn_1x": (8, 0.01, (120, 160, 180), 500, 1 / 3),
    "faster_rcnn_r101_fpn_2x": (8, 0.01, (240, 320, 360), 500, 1 / 3),
    "mask_rcnn_r101_fpn_1x": (8, 0.01, (120, 160, 180), 500, 1 / 3),
    "faster_rcnn_r101_vd_fpn_1x": (8, 0.01, (120, 160, 180), 1000, 1 / 3),
    "faster_rcnn_r101_vd_fpn_2x": (8, 0.01, (240, 320, 360), 1000, 1 / 3),
    "faster_rcnn_x101_vd_64x4d_fpn_1x": (8, 0.01, (120, 160, 180), 1000, 0.1),
    "faster_rcnn_se154_vd_fpn_s1x": (8, 0.01, (200, 240, 260), 1000, 0.1),
    "mask_rcnn_se154_vd_fpn_s1x": (8, 0.01, (200, 240, 260), 1000, 0.1),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    batch, rate, thousands, warmup, factor = SCHEDULES[name]
    schedule = models.recipe(name).schedule
    assert (schedule.batch, schedule.rate_batch, schedule.rate) == (batch, batch, rate)
    cuts = [images / batch / 1000 for images in (*schedule.decay, schedule.images)]
    assert cuts == list(thousands)
    assert schedule.warmup / batch == warmup and schedule.warmup_factor == pytest.approx(factor)


def test_every_row_is_here():
    rows = {name for name in models.names() if "_rcnn_" in name}
    assert rows == set(SCHEDULES) and {name.rpartition("_")[0] for name in rows} == set(TOTALS)


@pytest.mark.parametrize("architecture", TOTALS)
def test_parameter_totals(architecture):
    name = next(n for n in SCHEDULES if n.rpartition("_")[0] == architecture)
    keras.utils.clear_session(free_memory=True)
    network = models.build(models.recipe(name).model).network
    count = [int(np.prod(v.shape)) for v in network.variables]
    learns = [int(np.prod(v.shape)) for v in network.trainable_variables]
    assert (len(count), sum(count), sum(learns)) == TOTALS[architecture]
    assert len({reference_name(v.path) for v in network.variables}) == len(count)


def test_rates_of_the_exceptions():
    def rule(row, path):
        found = rule_of(path, models.recipe(row).optimizer.rules)
        return found.rate, found.decay

    cascade, senet = "cascade_rcnn_r50_fpn_1x", "faster_rcnn_se154_vd_fpn_s1x"
    assert rule(cascade, "box_head_1/fc6/kernel") == (1, 1)
    assert rule(cascade, "box_head_1/fc6/bias") == (2, 0)
    assert rule(cascade, "box_head_2/class_output/kernel") == (2, 1)
    assert rule(cascade, "box_head_3/class_output/bias") == (8, 0)
    assert rule(senet, "fc5_1_sqz/bias") == (1, 1)
    assert rule(senet, "rpn_head/conv/bias") == (2, 0)


def test_impossible_switches():
    for make in (
        lambda: c4(R50, cascade=True),
        lambda: replace(RCNN(), mask=True, cascade=True),
        lambda: RCNN(neck="p4"),
    ):
        with pytest.raises(ConfigError):
            make()


def test_drawn_data_needs_few_regions_and_steps():
    for name, regions in (("mask_rcnn_r50_fpn_1x", 32), ("faster_rcnn_r50_1x", 16)):
        row = models.recipe(name)
        small = drawn(row)
        assert small.schedule.steps == 160 and small.model.roi_batch == regions
        assert small.model.backbone.norm == "batch" and small.model.backbone.freeze_at == 0
        assert small.data.max_edges == row.data.max_edges == 96 * row.model.mask
