"""A run stored and gone on with is the uninterrupted run; files that do not fit are refused."""

import fake_family
import keras
import numpy as np
import pytest
import tensorflow as tf

from kdet.config import R50, LabelMap, Recipe, RetinaNet, coco_data, detectron
from kdet.config.text import from_dict, override
from kdet.errors import CheckpointError
from kdet.train import checkpoint
from kdet.train.trainer import set_precision
from kdet.weights.npz import read_npz, write_npz

ALONE = tf.distribute.get_strategy()
ABOUT = fake_family.ABOUT
LABELS = LabelMap(("cat", "dog"), (3, 7))


@pytest.fixture
def stored(tmp_path):
    """A checkpoint after three steps, and the trainer that wrote it."""
    made = fake_family.trainer(ALONE, "batch")
    list(made.train(fake_family.batches(), 3))
    checkpoint.save(tmp_path / "last.npz", made, ABOUT, best=0.25)
    return tmp_path / "last.npz", made


def refused(call, *words):
    with pytest.raises(CheckpointError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text and len(text) < 400
    for word in words:
        assert word in text


def changed(path, meta=None, drop=(), **arrays):
    """Rewrites a checkpoint with changes."""
    old, about = read_npz(path)
    kept = {k: v for k, v in {**old, **arrays}.items() if k not in drop}
    write_npz(path, kept, {**about, **(meta or {})})


def test_resumed_equals_uninterrupted_to_the_last_bit(stored):
    whole, _ = fake_family.job(ALONE, steps=7, norm="batch")
    path, _ = stored
    fresh = fake_family.trainer(ALONE, "batch")
    state = checkpoint.restore(path, fresh, ABOUT)
    assert state["best"] == 0.25
    assert fresh.step == 3
    list(fresh.train(fake_family.batches(3), 7))
    for name, value in fake_family.snapshot(fresh, ALONE).items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)


def test_loss_scale_is_stored(tmp_path):
    set_precision("fp16")
    try:
        made = fake_family.trainer(ALONE, precision="fp16")
        made.loss_scale.value, made.loss_scale.good = 512.0, 17
        checkpoint.save(tmp_path / "a.npz", made, ABOUT)
        again = fake_family.trainer(ALONE, precision="fp16")
        assert checkpoint.restore(tmp_path / "a.npz", again, ABOUT)["best"] is None
        assert (again.loss_scale.value, again.loss_scale.good) == (512.0, 17)
    finally:
        set_precision("fp32")


def test_the_description_can_be_read_back():
    recipe = Recipe(
        "x", RetinaNet(R50), coco_data(), detectron("1x", 0.01), reference={"box_ap": 36.0}
    )
    about = checkpoint.describe_run(recipe, LABELS, 5, "bf16")
    assert from_dict(about["recipe"]) == recipe and from_dict(about["labels"]) == LABELS
    assert (about["seed"], about["precision"]) == (5, "bf16")


def test_another_run_is_refused_and_the_difference_named(stored):
    path, made = stored
    recipe = Recipe("x", RetinaNet(R50), coco_data(), detectron("1x", 0.01))
    checkpoint.save(path, made, checkpoint.describe_run(recipe, LABELS, 0, "fp32"))
    other = override(recipe, ["schedule.batch=4"])
    wanted = checkpoint.describe_run(other, LABELS, 0, "fp32")
    refused(
        lambda: checkpoint.restore(path, made, wanted),
        "last.npz",
        "recipe.schedule.batch was 16 and is 4 now",
    )
    wanted = checkpoint.describe_run(recipe, LabelMap(("cat",), (3,)), 0, "fp32")
    refused(lambda: checkpoint.restore(path, made, wanted), "labels")


def test_files_that_do_not_fit(stored):
    path, made = stored
    before = fake_family.snapshot(made, ALONE)
    good = path.read_bytes()
    kernel = np.zeros((1, 1, 8, 3), "float32")
    cases = [
        ({"drop": ["weights/body/bias"]}, "missing: body/bias"),
        ({"drop": ["slots/body/bias"]}, "missing: body/bias"),
        ({"weights/extra/kernel": kernel}, "left over: extra/kernel"),
        ({"weights/class/kernel": kernel}, "class/kernel (1, 1, 8, 3) instead of (1, 1, 8, 2)"),
        ({"meta": {"version": 9}}, "expected version 1, got 9"),
        ({"meta": {"seed": 4}}, "seed was 4 and is 0 now"),
        ({"meta": {"step": None}}, "step"),
        ({"meta": {"loss_scale": [1]}}, "loss_scale"),
    ]
    for change, said in cases:
        path.write_bytes(good)
        changed(path, **change)
        refused(lambda: checkpoint.restore(path, made, ABOUT), "last.npz", said)
    path.write_bytes(good[: len(good) // 2])
    refused(lambda: checkpoint.restore(path, made, ABOUT), "last.npz", "damaged")
    for name, value in fake_family.snapshot(made, ALONE).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_variables_that_share_a_path_are_refused():
    image = keras.Input((None, None, 3))
    inner = keras.Model(image, keras.layers.Conv2D(3, 1, name="a")(image), name="inner")
    outer = keras.Model(image, keras.layers.Conv2D(3, 1, name="a")(inner(image)))
    with pytest.raises(ValueError, match="share a path: a/bias, a/kernel"):
        checkpoint.by_path(outer)


def test_other_training_records_are_refused_unless_asked_for(stored):
    path, made = stored
    checkpoint.save(path, made, {**ABOUT, "data": "0123"}, evaluated=7)
    assert checkpoint.restore(path, made, {**ABOUT, "data": "0123"})["evaluated"] == 7
    other = {**ABOUT, "data": "4567"}
    refused(lambda: checkpoint.restore(path, made, other), "records", "was 0123", "--other_data")
    assert checkpoint.restore(path, made, other, other_data=True)["evaluated"] == 7
    checkpoint.save(path, made, ABOUT)  # as earlier versions wrote it
    checkpoint.restore(path, made, other)
