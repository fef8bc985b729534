"""Building, saving and loading detectors."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kdet import models
from kdet.config import R50, Data, LabelMap, ResNet, RetinaNet
from kdet.config.text import to_dict
from kdet.errors import CheckpointError, ConfigError
from kdet.models.families import family_of
from kdet.weights.npz import write_npz
from kdet.weights.sources import checkpoint_of

SMALL = Data(short_side=128, long_side=128, pad_to=128)
LABELS = LabelMap(("a", "b", "c"), (1, 5, 9))


@pytest.fixture(scope="module")
def detector():
    return models.build(RetinaNet(R50, num_classes=3), SMALL, LABELS)


@pytest.fixture(scope="module")
def inputs():
    image = np.random.default_rng(0).normal(size=(2, 128, 128, 3)).astype("float32")
    size = np.array([[128, 96], [128, 128]], "float32")
    return {"image": image, "resized_size": size, "original_size": size * 2}


def test_the_contract(detector, inputs):
    found = detector(inputs)
    assert {name: (tuple(v.shape), v.dtype.name) for name, v in found.items()} == {
        "boxes": ((2, 100, 4), "float32"),
        "scores": ((2, 100), "float32"),
        "labels": ((2, 100), "int32"),
        "valid": ((2, 100), "bool"),
    }
    boxes = np.array(found["boxes"])
    assert np.isfinite(boxes).all() and (boxes[..., 2:] >= boxes[..., :2]).all()
    with pytest.raises(ValueError, match="missing resized_size, original_size"):
        detector({"image": inputs["image"]})


def test_a_keras_file_opens_in_a_new_process(detector, inputs, tmp_path):
    detector.model.save(tmp_path / "detector.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    code = (
        "import kdet.models, keras, numpy as np\n"
        "model = keras.models.load_model('detector.keras')\n"
        "found = model(dict(np.load('inputs.npz')))\n"
        "np.savez('found.npz', **{k: np.array(v) for k, v in found.items()})\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    found, expected = np.load(tmp_path / "found.npz"), detector.model(inputs)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("norm", ["frozen", "batch"])
@pytest.mark.parametrize("variant", ["b", "d"])
def test_every_trainable_weight_learns(norm, variant, inputs):
    freeze_at = 2 if norm == "frozen" else 0
    config = RetinaNet(ResNet(50, variant, norm=norm, freeze_at=freeze_at), num_classes=3)
    network = models.build(config, SMALL, LABELS).network
    batch = {
        "image": tf.constant(inputs["image"]),
        "boxes": tf.constant([[[10.0, 10, 60, 70]], [[0.0, 0, 0, 0]]]),
        "labels": tf.constant([[1], [0]]),
        "valid": tf.constant([[True], [False]]),
    }
    truth, counts = family_of(config).targets(config, batch)
    with tf.GradientTape() as tape:
        terms = family_of(config).losses(
            config, network(batch["image"], training=True), truth, counts
        )
        total = sum(terms.values())
    gradients = tape.gradient(total, network.trainable_variables)
    dead = [v.path for v, g in zip(network.trainable_variables, gradients) if g is None]
    assert not dead and all(np.isfinite(g).all() for g in gradients)
    frozen = {v.path for v in network.variables} - {v.path for v in network.trainable_variables}
    first = "conv1/kernel" if variant == "b" else "conv1_1/kernel"
    assert (first in frozen and "res2a_branch2a/kernel" in frozen) == (norm == "frozen")


def test_labels_must_fit():
    with pytest.raises(ConfigError, match="num_classes is 80 but the label map has 3"):
        models.build(RetinaNet(R50), labels=LABELS)


def test_names_and_recipes():
    assert "retinanet_r50_fpn_1x" in models.names()
    with pytest.raises(ConfigError, match="did you mean 'retinanet_r50_fpn_1x'"):
        models.recipe("retinanet_r50_fpn")
    with pytest.raises(ConfigError, match="no file 'nowhere'"):
        models.load("retinanet_r50_fpn_1x", weights="nowhere")


def test_load_of_a_checkpoint(detector, inputs, tmp_path):
    from dataclasses import replace

    row = models.recipe("retinanet_r50_fpn_1x")
    row = replace(row, model=detector.config, data=detector.data)
    arrays = {f"weights/{v.path}": v.numpy() for v in detector.network.variables}
    meta = {"recipe": to_dict(row), "labels": to_dict(LABELS)}
    write_npz(tmp_path / "last.npz", arrays, meta)
    loaded = models.load(tmp_path)
    assert loaded.labels == LABELS and loaded.config == detector.config
    np.testing.assert_array_equal(loaded(inputs)["boxes"], detector(inputs)["boxes"])
    strict = models.load(tmp_path / "last.npz", overrides=["model.score_threshold=0.9"])
    assert strict.config.score_threshold == 0.9

    for name, change, said in (
        ("short", lambda a, m: a.popitem(), "missing: "),
        ("more", lambda a, m: a.update({"weights/x": np.ones(2)}), "left over: x"),
        ("recipe", lambda a, m: m.pop("recipe"), "description has no 'recipe'"),
        ("type", lambda a, m: m.update(labels={"type": "Data"}), "not a recipe and a label map"),
        ("field", lambda a, m: m.update(labels={"type": "LabelMap", "x": 1}), "no field 'x'"),
    ):
        some, about = dict(arrays), dict(meta)
        change(some, about)
        path = tmp_path / f"{name}.npz"
        write_npz(path, some, about)
        with pytest.raises(CheckpointError) as error:
            models.load(path)
        assert said in str(error.value) and str(path) in str(error.value)


def test_a_run_folder_means_its_best_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="expected best.npz or last.npz"):
        checkpoint_of(tmp_path)
    (tmp_path / "last.npz").touch()
    assert checkpoint_of(tmp_path).name == "last.npz"
    (tmp_path / "best.npz").touch()
    assert checkpoint_of(tmp_path).name == "best.npz"
