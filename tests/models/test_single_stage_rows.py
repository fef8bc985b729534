"""The YOLOv3 and SSD recipes: who learns how fast."""

import keras
import pytest

from kdet import config, models
from kdet.config.text import override
from kdet.train.optimizer import learning_rate, param_group

ROWS = ("yolov3_darknet", "yolov3_mobilenet_v1", "yolov3_r34", "ssd_mobilenet_v1_voc")


@pytest.fixture(scope="module", params=ROWS)
def row(request):
    recipe = models.recipe(request.param)
    yield recipe, models.build(recipe.model, recipe.data).network
    keras.backend.clear_session()


def test_rates_and_decays(row):
    """Norms never decay; YOLO's biases do not, SSD's do; SSD's trunk learns at a tenth."""
    recipe, network = row
    ssd = isinstance(recipe.model, config.SSD)
    for variable in network.trainable_variables:
        rule, kind = (
            param_group(variable.path, recipe.optimizer.param_groups),
            variable.path.split("/")[-1],
        )
        trunk = variable.path.startswith("conv")
        assert rule.lr_multiplier == (0.1 if ssd and kind == "kernel" and trunk else 1), (
            variable.path
        )
        assert rule.weight_decay_multiplier == (kind == "kernel" or (ssd and kind == "bias")), (
            variable.path
        )


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("yolo")])
def test_yolo_schedule(name):
    row = models.recipe(name)
    steps = (0, 1, 2000, 3999, 4000, 399_999, 400_000, 449_999, 450_000)
    rates = [learning_rate(row.schedule, 64 * step) for step in steps]
    expected = [0, 2.5e-7, 5e-4, 3999 / 4e6, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    assert rates == pytest.approx(expected, rel=1e-12)
    assert row.schedule.steps == 500_200 and row.optimizer.weight_decay == 5e-4


def test_ssd_schedule():
    row = models.recipe("ssd_mobilenet_v1_voc")
    starts = (0, 9_999, 10_000, 14_999, 15_000, 20_000, 24_999, 25_000, 27_999)
    rates = [learning_rate(row.schedule, 64 * step) for step in starts]
    expected = [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 1e-4, 1e-4, 1e-5, 1e-5]
    assert rates == pytest.approx(expected, rel=1e-12)
    assert row.schedule.steps == 28_000
    half = override(row, ["schedule.batch=32"]).schedule
    assert learning_rate(half, 64 * 15_000) == pytest.approx(1.25e-4)


def test_one_checkpoint_serves_all_sizes():
    row = override(models.recipe("yolov3_darknet"), ["data.short_side=416"])
    assert row.data.canvas_sizes() == ((416, 416),)
    assert row.model == models.recipe("yolov3_darknet").model
