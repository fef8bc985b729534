"""The twenty two-stage rows: schedules and rates of the published table."""

from dataclasses import replace

import pytest

from kdet import models
from kdet.config import R50, RCNN, c4_rcnn
from kdet.errors import ConfigError
from kdet.train.optimizer import param_group

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
    assert (schedule.batch, schedule.base_batch, schedule.base_lr) == (batch, batch, rate)
    cuts = [images / batch / 1000 for images in (*schedule.milestones, schedule.images)]
    assert cuts == list(thousands)
    assert schedule.warmup_images / batch == warmup and schedule.warmup_factor == pytest.approx(
        factor
    )


def test_every_row_is_here():
    rows = {name for name in models.names() if "_rcnn_" in name}
    assert rows == set(SCHEDULES)


def test_rates_of_the_exceptions():
    def rule(row, path):
        found = param_group(path, models.recipe(row).optimizer.param_groups)
        return found.lr_multiplier, found.weight_decay_multiplier

    cascade, senet = "cascade_rcnn_r50_fpn_1x", "faster_rcnn_se154_vd_fpn_s1x"
    assert rule(cascade, "box_head_1/fc6/kernel") == (1, 1)
    assert rule(cascade, "box_head_1/fc6/bias") == (2, 0)
    assert rule(cascade, "box_head_2/class_output/kernel") == (2, 1)
    assert rule(cascade, "box_head_3/class_output/bias") == (8, 0)
    assert rule(senet, "fc5_1_sqz/bias") == (1, 1)
    assert rule(senet, "rpn_head/conv/bias") == (2, 0)


def test_impossible_switches():
    for make in (
        lambda: c4_rcnn(R50, cascade=True),
        lambda: replace(RCNN(), mask=True, cascade=True),
        lambda: RCNN(neck="p4"),
    ):
        with pytest.raises(ConfigError):
            make()


def test_synthetic_data_needs_few_regions_and_steps():
    for name, regions in (("mask_rcnn_r50_fpn_1x", 32), ("faster_rcnn_r50_1x", 16)):
        row = models.recipe(name)
        small = row.model.synthetic(row)
        assert small.schedule.steps == 160 and small.model.roi_batch_size == regions
        assert small.model.backbone.norm == "batch" and small.model.backbone.freeze_at == 0
        assert small.data.max_edges == row.data.max_edges == 96 * row.model.mask
