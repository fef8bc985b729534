"""Every two-stage recipe, shrunken: one training step, who learns, one inference, two files."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import small_rcnn
import tensorflow as tf

from kdet import models
from kdet.config import RCNN
from kdet.data import Records, image_batch, train_batches
from kdet.data.convert.synthetic import make_synthetic
from kdet.serving.saved_model import export

ROWS = [name for name in models.names() if isinstance(models.recipe(name).model, RCNN)]
DONE = {}  # shrunken config -> what its step and its .keras file said; twins share it
SAVED = {}  # heads -> what the detector and its SavedModel said; backbones share it


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Two drawn images with outlines."""
    folder = tmp_path_factory.mktemp("rows")
    make_synthetic(folder, 4, 0, (64, 64))
    records = Records.open(folder)
    return next(records.iterate(train_batches(records, small_rcnn.DATA, 2, 1, seed=0)))


@pytest.fixture(scope="module", params=ROWS)
def row(request, batch, tmp_path_factory):
    """(recipe, what happened) of a row."""
    recipe = models.recipe(request.param)
    config = small_rcnn.shrink(recipe.model)
    if config not in DONE:
        DONE[config] = live(recipe, config, batch, tmp_path_factory.mktemp("files"))
    return recipe, DONE[config]


def live(recipe, config, batch, folder):
    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(1)
    detector = small_rcnn.build(config)
    before = {v.path: v.numpy() for v in detector.network.variables}
    step = small_rcnn.train_step(
        detector, replace(recipe.optimizer, weight_decay=0.0), clip_norm=1.0
    )
    # operation by operation, which is faster than a trace for one call; test_rcnn_step.py traces
    tf.config.run_functions_eagerly(True)
    try:
        outcome = step(batch, 0.1)
    finally:
        tf.config.run_functions_eagerly(False)
    seen = {
        "outcome": outcome,
        "learns": {v.path for v in detector.network.trainable_variables},
        "moved": {
            v.path
            for v in detector.network.variables
            if not np.array_equal(v.numpy(), before[v.path])
        },
    }
    inputs = {k: batch[k] for k in ("image", "resized_size", "original_size")}
    # `answers` calls the compiled network
    seen["found"] = {k: v.numpy() for k, v in detector.model(inputs, training=False).items()}
    detector.model.save(folder / "row.keras")
    loaded = keras.models.load_model(folder / "row.keras")
    seen["keras"] = {k: v.numpy() for k, v in loaded(inputs).items()}
    heads = (config.neck, config.mask, config.cascade)
    if heads not in SAVED:
        SAVED[heads] = answers(detector, folder / "saved")
    seen["direct"], seen["saved"] = SAVED[heads]
    return seen


def answers(detector, folder):
    """What a detector and its SavedModel say about an image."""
    image = np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)
    direct = detector(image_batch(image, detector.data))
    module = tf.saved_model.load(export(detector, folder))  # it must outlive the call
    saved = module.serve(tf.constant(image))
    return [{k: v.numpy() for k, v in found.items()} for found in (direct, saved)]


def test_a_step_moves_all_that_may_learn_and_nothing_else(row):
    recipe, seen = row
    outcome = seen["outcome"]
    assert outcome.finite and outcome.norm > 0
    assert ("mask" in outcome.losses) == recipe.model.mask
    assert len(outcome.losses) == (8 if recipe.model.cascade else 4 + recipe.model.mask)
    frozen = ("conv1", "stem", "res2", "conv4", "fc4")  # stages 1 and 2; SENet counts from 4
    assert not {path for path in seen["learns"] if path.startswith(frozen)}
    assert seen["moved"] == seen["learns"]


def test_inference_keeps_its_contract(row):
    recipe, seen = row
    shapes = {"boxes": (2, 10, 4), "scores": (2, 10), "labels": (2, 10), "valid": (2, 10)}
    if recipe.model.mask:
        side = 28 if recipe.model.neck == "fpn" else 14
        shapes["masks"] = (2, 10, side, side)
    assert {k: v.shape for k, v in seen["found"].items()} == shapes
    assert all(np.isfinite(v).all() for v in seen["found"].values())
    assert (np.diff(seen["found"]["scores"]) <= 0).all()


def test_files_give_the_same_detections(row):
    _, seen = row
    for name, value in seen["found"].items():
        np.testing.assert_allclose(seen["keras"][name], value, rtol=1e-4, atol=1e-3, err_msg=name)
    saved, direct = dict(seen["saved"]), dict(seen["direct"])
    np.testing.assert_array_equal(saved.pop("num_detections"), direct.pop("valid").sum(1))
    assert saved.keys() == direct.keys()
    for name, value in direct.items():
        np.testing.assert_allclose(saved[name], value, rtol=1e-4, atol=1e-3, err_msg=name)
