"""Building, saving and training steps of two-stage networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdet import models
from kdet.config import R50, RCNN, Data, ResNet, c4_rcnn
from kdet.models.families import family_of
from kdet.models.family import network_inputs

SMALL = Data(short_side=128, long_side=128, pad_to=32)
COUNTS = {
    "num_classes": 3,
    "roi_batch_size": 32,
    "rpn_pre_nms_top_n_train": 200,
    "rpn_post_nms_top_n_train": 60,
    "rpn_pre_nms_top_n_test": 200,
    "rpn_post_nms_top_n_test": 20,
    "max_detections": 12,
}
CONFIGS = {
    "mask_fpn": RCNN(ResNet(50, norm="batch", freeze_at=0), mask=True, **COUNTS),
    "mask_c4": c4_rcnn(R50, mask=True, **COUNTS),
    "cascade": RCNN(R50, cascade=True, **COUNTS),
}


@pytest.fixture(scope="module", params=CONFIGS)
def detector(request):
    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(0)
    return models.build(CONFIGS[request.param], SMALL)


@pytest.fixture(scope="module")
def batch():
    rng, size = np.random.default_rng(0), np.array([[128, 96], [128, 128]], "float32")
    made = {
        "image": rng.normal(size=(2, 128, 128, 3)).astype("float32"),
        "resized_size": size,
        "original_size": size * 2,
        "boxes": np.array([[[10, 10, 60, 70]], [[0, 0, 0, 0]]], "float32"),
        "labels": np.array([[1], [0]], "int32"),
        "valid": np.array([[True], [False]]),
        "sample_seed": np.array([5, 7], "int32"),
        "mask_edges": np.zeros((2, 1, 3, 4), "float32"),
        "mask_parts": np.array([[[0, 0, 0]], [[-1, -1, -1]]], "int32"),
    }
    corners = np.array([[20, 20], [120, 20], [120, 140]], "float32")
    made["mask_edges"][0, 0] = np.hstack([corners, np.roll(corners, -1, axis=0)])
    return {name: tf.constant(value) for name, value in made.items()}


def test_the_contract(detector, batch):
    found = {name: np.array(value) for name, value in detector(batch).items()}
    shapes = {"boxes": (2, 12, 4), "scores": (2, 12), "labels": (2, 12), "valid": (2, 12)}
    if detector.config.mask:
        side = detector.config.mask_size
        shapes["masks"] = (2, 12, side, side)
        assert ((found["masks"] >= 0) & (found["masks"] <= 1)).all()
    assert {name: value.shape for name, value in found.items()} == shapes
    assert all(np.isfinite(value).all() for value in found.values())
    limit = np.array(batch["original_size"])[:, None, ::-1]
    assert (found["boxes"][..., :2] >= 0).all() and (found["boxes"][..., 2:] <= limit).all()


def test_a_keras_file_gives_the_same_detections(detector, batch, tmp_path):
    detector.model.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(tmp_path / "detector.keras")
    inputs = {name: batch[name] for name in ("image", "resized_size", "original_size")}
    found = loaded(inputs)
    for name, value in detector.model(inputs).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-4)


def test_every_trainable_weight_learns_even_beside_empty_images(detector, batch):
    """Image 2 holds no object; without image 1 all losses must stay finite as well."""
    config = detector.config
    network = detector.training_model()
    assert {v.path for v in network.variables} == {v.path for v in detector.network.variables}

    def step(batch):
        truth, counts = family_of(config).targets(config, batch)
        with tf.GradientTape() as tape:
            raw = network(network_inputs(network, batch), training=True)
            terms = family_of(config).losses(config, raw, truth, counts)
            total = sum(terms.values())
        return terms, tape.gradient(total, network.trainable_variables)

    for valid in (batch["valid"], tf.zeros_like(batch["valid"])):
        terms, gradients = step({**batch, "valid": valid})
        assert all(np.isfinite(value) for value in terms.values()), terms
        dead = [v.path for v, g in zip(network.trainable_variables, gradients) if g is None]
        assert not dead and all(np.isfinite(g).all() for g in gradients)
    assert float(terms["rpn_box"]) == 0 and float(terms.get("mask", 0)) == 0
