"""Training from Python."""

import keras
import numpy as np
import pytest
from toy_family import FAMILY
from toy_family.config import CentreNet, PlainNet

import kdet
from kdet.config import Data
from kdet.data.convert.synthetic import make_synthetic
from kdet.errors import ConfigError
from kdet.models import families
from kdet.train import run as session
from kdet.train.callbacks import Callbacks
from kdet.train.trainer import Report

SMALL, DATA = CentreNet(PlainNet(8), num_classes=2), Data(short_side=64, long_side=64)
SETTINGS = ["data.short_side=64", "data.long_side=64", "data.canvases=((64, 64),)"]


@pytest.fixture(scope="module", autouse=True)
def toy():
    """The toy family, and no export: it has its own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "FAMILIES", [*families.FAMILIES, FAMILY])
        patch.setattr(session, "export", lambda detector, folder: folder)
        yield


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    for seed, split in enumerate(("train", "val")):
        make_synthetic(folder / split, 8, seed, (64, 64), masks=False)
    return folder


def small_detector():
    keras.utils.set_random_seed(0)
    return kdet.build(SMALL, DATA)


class Log(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.logs = []

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append((epoch, logs))


def test_fit_trains_and_changes_the_detector(records, tmp_path):
    detector, seen = small_detector(), Log()
    history = detector.fit(
        records, 2, batch=4, out=tmp_path / "run", callbacks=[seen], settings=SETTINGS
    )
    assert detector.labels.names == ("circle", "square", "triangle", "star")
    assert detector.trained and detector.recipe.schedule.images == 16
    assert detector.recipe.model.num_classes == 4
    # two epochs of two steps, each with an evaluation
    assert [epoch for epoch, _ in seen.logs] == [0, 1]
    last = seen.logs[-1][1]
    assert {"loss", "class", "size", "learning_rate", "val/AP", "val/class"} <= set(last)
    assert last["loss"] == pytest.approx(last["class"] + last["size"])
    assert history.complete and history.history["eval"]["step"] == [2, 4]
    assert history.history["val_losses"]["class"][-1] == pytest.approx(last["val/class"])
    assert history.draw().width > 300
    # the object is the detector of the checkpoint
    stored = kdet.load(tmp_path / "run")
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), "uint8")
    ours, theirs = detector.predict([image]), stored.predict([image])
    np.testing.assert_allclose(ours["scores"], theirs["scores"], atol=1e-6)
    assert (tmp_path / "run" / "analysis" / "report.html").is_file()

    # a second call starts from these weights, and keeps the anchors
    before = {v.path: v.numpy() for v in detector.network.variables}
    again = detector.fit(
        records, 1, batch=4, out=tmp_path / "more", eval_every=0, settings=SETTINGS, stop_after=1
    )
    after = {v.path: v.numpy() for v in detector.network.variables}
    assert again.history["losses"]["step"] == [1]
    for path, value in before.items():
        if value.ndim == 4:
            assert 0 < np.abs(after[path] - value).max() < 0.05, path


def test_early_stopping_of_keras_and_patience(records, tmp_path):
    detector = small_detector()
    stop = keras.callbacks.EarlyStopping("val/AP", min_delta=2.0, patience=1, mode="max")
    history = detector.fit(
        records, 5, batch=8, out=tmp_path / "a", callbacks=[stop], settings=SETTINGS
    )
    assert history.history["eval"]["step"] == [1, 2]  # nothing is better by 2.0
    history = small_detector().fit(
        records, 9, batch=8, out=tmp_path / "b", patience=1, eval_every=1, settings=SETTINGS
    )
    values = history.history["eval"]["AP"]
    assert len(values) < 9 and values[-1] <= max(values[:-1])
    assert kdet.load(tmp_path / "b").recipe.schedule.images == 72


def test_wrong_arguments_are_one_line(records, tmp_path):
    detector = small_detector()
    with pytest.raises(ConfigError, match="Unknown command line flag 'epoch'"):
        detector.fit(records, epoch=3, out=tmp_path / "x")
    with pytest.raises(kdet.KdetError, match="nowhere: no such file or folder"):
        detector.fit(tmp_path / "nowhere")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "last.npz").touch()
    with pytest.raises(ConfigError, match="exists: add --resume"):
        detector.fit(records, out=tmp_path / "y")


def test_epochs_of_callbacks():
    """Ten images, batches of four: epochs end after the steps 3, 5 and 8 (12, 20 and 32 images)."""

    class Detector:
        network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    log = Log()
    calls = Callbacks([log], Detector, images=10)
    calls.begin(0)
    for step in range(8):
        report = Report(step, {"a": float(step), "b": 1.0}, 0.1, 1.0, 4, 1.0, 0.0)
        calls.after(report, {"AP": 0.5, "undefined": None} if step == 4 else None)
    calls.end()
    assert [epoch for epoch, _ in log.logs] == [0, 1, 2]
    first, second, third = (logs for _, logs in log.logs)
    assert first == {"loss": 2.0, "a": 1.0, "b": 1.0, "learning_rate": 0.1}
    assert second == {"loss": 4.5, "a": 3.5, "b": 1.0, "learning_rate": 0.1, "val/AP": 0.5}
    assert "val/AP" not in third and third["a"] == 6.0
