"""A new family is its room, its config and one line: the toy of tests/support/toy_family."""

import json
import pathlib
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from toy_family import FAMILY
from toy_family.config import CentreNet, PlainNet

import kdet
from kdet.config import Data, LabelMap, Recipe, detectron, ssd_data
from kdet.config.text import from_dict, override, to_dict
from kdet.data import Records, train_batches
from kdet.data.convert.synthetic import make_synthetic
from kdet.errors import ConfigError
from kdet.models import families
from kdet.train import cli
from kdet.train import run as session
from kdet.train.start import start_from
from kdet.train.trainer import trainer_of
from kdet.weights.npz import read_npz

ROOT = pathlib.Path(__file__).parents[2]
DATA = Data(short_side=64, long_side=64, canvases=((64, 64),))
RECIPE = Recipe("toy", CentreNet(), DATA, detectron("1x", base_lr=0.01))
SHAPES = ("circle", "square", "triangle", "star")


@pytest.fixture(scope="module", autouse=True)
def _one_line():
    """What the author of a family adds to kdet/models/families.py."""
    families.FAMILIES.append(FAMILY)
    yield
    families.FAMILIES.remove(FAMILY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small synthetic data set and a run of three steps, `run/`."""
    folder = tmp_path_factory.mktemp("toy")
    for seed, split in enumerate(("train", "val")):
        make_synthetic(folder / "data" / split, 8, seed, (64, 64), masks=False)
    assert train(folder, "data", "run", "--init=none", "--stop_after=3") == 0
    return folder


def train(folder, data, out, *more):
    places = ["--data", str(folder / data), "--out", str(folder / out)]
    return cli.run(RECIPE, [*places, "--batch=2", "--log_every=1", "--eval_every=3", *more])


@pytest.fixture(scope="module")
def trained(folder):
    return kdet.load(folder / "run")


@pytest.fixture(scope="module")
def images(folder):
    """Two noise images, one of them smaller than the canvas."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((64, 64), (32, 64))]


def test_without_the_line_the_config_is_of_no_family():
    families.FAMILIES.remove(FAMILY)
    try:
        with pytest.raises(ConfigError, match="expected a model config of RCNN, .*got CentreNet"):
            kdet.build(CentreNet())
    finally:
        families.FAMILIES.append(FAMILY)


def test_parameters_of_the_backbone():
    """Three convolutions of 3 -> 8 -> 16 -> 32 channels, and four numbers a channel of norms."""
    network = kdet.build(CentreNet(PlainNet(8), num_classes=5), DATA).network
    total = sum(v.shape.num_elements() for v in network.variables if v.path.startswith("plain_"))
    assert total == 9 * (3 * 8 + 8 * 16 + 16 * 32) + 4 * (8 + 16 + 32)


def test_the_contract():
    detector = kdet.build(CentreNet(num_classes=5), DATA)
    sizes = np.float32([[64, 64], [48, 64]])
    image = np.random.default_rng(1).normal(size=(2, 64, 64, 3)).astype("float32")
    inputs = {"image": image, "resized_size": sizes, "original_size": 2 * sizes}
    found = detector(inputs)
    assert {name: (tuple(v.shape), v.dtype.name) for name, v in found.items()} == {
        "boxes": ((2, 20, 4), "float32"),
        "scores": ((2, 20), "float32"),
        "labels": ((2, 20), "int32"),
        "valid": ((2, 20), "bool"),
    }
    outputs = detector.outputs(inputs)
    assert {name: tuple(v.shape) for name, v in outputs.items()} == {
        "logits": (2, 8, 8, 5),
        "sizes": (2, 8, 8, 2),
    }


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_pixels_are_normalised_in_the_step(channels, folder):
    """Augmented images are uint8 on their way to the device; the losses are those of float32."""
    data = ssd_data(short_side=64, channels=channels)
    detector = kdet.build(CentreNet(num_classes=4), data)
    detector.recipe = replace(RECIPE, model=detector.config, data=data)
    records = Records.open(folder / "data" / "train")
    losses = []
    for pixels in (False, True):
        batch = next(iter(train_batches(records, data, 2, 1, seed=0, pixels=pixels)))
        assert batch["image"].dtype == (tf.uint8 if pixels else tf.float32)
        trainer = trainer_of(detector, tf.distribute.get_strategy())
        losses.append(trainer.train_step(batch, rate=0.0).losses)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_box_by_hand():
    """A cell of size log(2): 16 pixels wide around its centre, doubled by the image's scale."""
    logits = np.full((1, 8, 8, 3), -9, "float32")
    logits[0, 2, 5, 1] = 2.0
    outputs = {"logits": logits, "sizes": np.full((1, 8, 8, 2), np.log(2), "float32")}
    size = np.float32([[64, 64]])
    image = np.zeros((1, 64, 64, 3), "float32")
    found = FAMILY.detections(CentreNet())(outputs, image, size, 2 * size)
    assert np.array(found["valid"]).sum() == 1 and int(found["labels"][0, 0]) == 1
    # x 36..52 and y 12..28 of the canvas; the last pixel is what scales, see `kdet.ops.boxes`
    np.testing.assert_allclose(found["boxes"][0, 0], [72, 24, 103, 55], rtol=1e-5)
    np.testing.assert_allclose(found["scores"][0, 0], 1 / (1 + np.exp(-2)), rtol=1e-6)


def test_losses_by_hand():
    """One object in four cells; logits 0, sizes 0: 4 * 2 * log(2), and log(16 / 8) per side."""
    batch = {
        "image": np.zeros((1, 16, 16, 3), "float32"),
        "boxes": np.float32([[[0, 0, 16, 16], [0, 0, 4, 4]]]),
        "labels": np.int32([[1, 0]]),
        "valid": np.array([[True, False]]),
    }
    config = CentreNet(num_classes=2)
    truth, counts = FAMILY.targets(config, batch)
    np.testing.assert_array_equal(truth["labels"], [[-1, -1, -1, 1]])
    assert float(counts["objects"]) == 1
    outputs = {name: np.zeros((1, 2, 2, 2), "float32") for name in ("logits", "sizes")}
    found = FAMILY.losses(config, outputs, truth, counts)
    assert float(found["class"]) == pytest.approx(8 * np.log(2), rel=1e-6)
    assert float(found["size"]) == pytest.approx(2 * np.log(2), rel=1e-6)


def test_the_config_as_text():
    assert from_dict(json.loads(json.dumps(to_dict(RECIPE)))) == RECIPE
    changed = override(RECIPE, ["model.score_threshold=0.5", "model.backbone.width=4"])
    assert changed == replace(RECIPE, model=CentreNet(PlainNet(4), score_threshold=0.5))
    with pytest.raises(ConfigError, match="did you mean 'nms_iou'"):
        override(RECIPE, ["model.nms_io=0.5"])


def test_weights_that_nobody_published_are_refused_in_one_line(folder, capfd):
    assert train(folder, "data", "never") == 2  # --init=imagenet is the default with --data
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert said == "error: no weights were published for PlainNet(width=8); use --init none"


def test_a_run_trains_and_leaves_everything(folder):
    names = {path.name for path in (folder / "run").iterdir()}
    assert {"last.npz", "best.npz", "log.jsonl", "saved_model", "predictions_000003.png"} <= names
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 3]
    assert all(set(line["losses"]) == {"class", "size"} for line in lines[:3])
    # all logits start near -4.6, and a batch has 128 cells, 4 classes and at least 1 object
    assert 1 < lines[0]["losses"]["class"] < 128 * 4 * np.log1p(np.exp(-4.6)) + 10


def test_a_checkpoint_loads_again(folder, trained, images, tmp_path):
    stored, meta = read_npz(folder / "run" / "best.npz")
    assert meta["recipe"]["model"]["type"] == "CentreNet" and trained.labels.names == SHAPES
    for variable in trained.network.variables:
        np.testing.assert_array_equal(variable, stored[f"weights/{variable.path}"])
    trained.save(tmp_path / "again.npz")
    again = kdet.load(tmp_path / "again.npz", overrides=["model.score_threshold=0.0"])
    assert again.config == replace(trained.config, score_threshold=0.0)
    outputs = [np.array(d.predict(images)["boxes"]) for d in (trained, kdet.load(folder / "run"))]
    np.testing.assert_array_equal(*outputs)


def test_init_takes_over_the_classes_of_the_same_name(folder, trained, capfd, monkeypatch):
    """A data set with moons where the first had squares and triangles."""
    shutil.copytree(folder / "data", folder / "moons")
    for path in (folder / "moons").glob("*/dataset.json"):
        about = json.loads(path.read_text())
        about["labels"]["names"] = ["star", "full moon", "half moon", "circle"]
        path.write_text(json.dumps(about))
    monkeypatch.setattr(session, "export", lambda detector, folder: folder)  # `run/` has one
    init = f"--init={folder / 'run'}"
    assert train(folder, "moons", "moon_run", init, "--stop_after=1", "--eval_every=0") == 0
    assert "rows of known classes taken over: star, circle" in capfd.readouterr().err
    labels = LabelMap(("star", "moon", "circle"), (1, 2, 3))
    network = kdet.build(replace(trained.config, num_classes=3), DATA, labels).network
    before = np.array(network.get_layer("centre_class").kernel)
    report = start_from(str(folder / "run"), trained.recipe, network, labels)
    assert report.matched == ("star", "circle") and not report.initialized
    old, new = (n.get_layer("centre_class").kernel.numpy() for n in (trained.network, network))
    np.testing.assert_array_equal(new, np.stack([old[..., 3], before[..., 1], old[..., 0]], -1))


def test_evaluation_is_that_of_the_run(folder, trained):
    metrics = trained.evaluate(folder / "data", "val")
    last = json.loads((folder / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert metrics["AP"] == pytest.approx(last["eval"]["AP"], abs=1e-6)
    assert metrics["AR100"] == pytest.approx(last["eval"]["AR100"], abs=1e-6)
    assert list(metrics["per_class"]) == list(SHAPES)


def test_the_export_finds_the_same_boxes(folder, trained, images):
    exported = tf.saved_model.load(str(folder / "run" / "saved_model"))
    for image in images:
        found = exported.signatures["serving_default"](image=tf.constant(image[None]))
        expected = trained.predict([image])
        assert int(found["num_detections"][0]) == expected["valid"].sum() > 0
        for name in ("boxes", "scores", "labels"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-4)


def test_the_form_of_paddle_and_back(trained, tmp_path):
    """The names of a family work both ways, and are one to one."""
    kdet.models.save_paddle(trained, tmp_path / "paddle")
    assert (tmp_path / "paddle" / "plain_1_bn_scale").is_file()
    assert (tmp_path / "paddle" / "centre_class_w").is_file()
    fresh = kdet.build(trained.config, DATA, trained.labels)
    paths = str(tmp_path / "paddle")
    report = start_from(paths, trained.recipe, fresh.network, fresh.labels)
    assert not report.initialized and not report.unused
    for new, old in zip(fresh.network.variables, trained.network.variables):
        np.testing.assert_array_equal(new, old)


def test_contributing_quotes_this_family():
    """Added lines are the toy's own code; all others are in the files that they belong to."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    toy = [*sorted((ROOT / "tests/support/toy_family").glob("*.py")), pathlib.Path(__file__)]
    own = "\n".join(path.read_text("utf-8") for path in toy)
    diffs = re.findall(r"^```diff\n--- (\S+)\n\+\+\+ b/(\S+)\n(.*?)^```", page, re.M | re.S)
    assert len(diffs) == 10
    for old, name, body in diffs:
        added = "\n".join(line[1:] for line in body.splitlines() if line[:1] == "+")
        if name == "kdet/models/families.py":  # the one line: an import and an entry
            added = re.sub(r"centre_net(\.FAMILY)?, ", "", added)
            assert added == "\n".join(x[1:] for x in body.splitlines() if x[:1] == "-")
        else:
            assert added.strip() in own, name
        if old != "/dev/null":
            lines = (ROOT / name).read_text("utf-8").splitlines()
            kept = [line[1:] for line in body.splitlines() if line[:1] in " -"]
            assert set(kept) <= set(lines), name
