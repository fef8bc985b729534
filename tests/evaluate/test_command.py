"""`kdet evaluate`: from a run folder to a table and two files."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from kdet import cli
from kdet.config import R50, Data, LabelMap, Recipe, RetinaNet, detectron, stretched_data
from kdet.config.text import to_dict
from kdet.data.records import Records
from kdet.errors import ConfigError
from kdet.models import loading
from kdet.train import shares
from kdet.weights import sources
from kdet.weights.npz import write_npz

LABELS = LabelMap(("circle", "square", "star"), (5, 17, 90))
DATA = Data(short_side=64, long_side=96, pad_to=32)


def blind(inputs):
    """A detector that sees nothing."""
    n = len(inputs["image"])
    empty = np.zeros((n, 1), np.float32)
    return {
        "boxes": np.zeros((n, 1, 4), np.float32),
        "scores": empty,
        "labels": empty.astype(int),
        "valid": empty > 0,
    }


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """Callable: (settings, further meta) -> a run folder whose detector is blind."""
    monkeypatch.setattr(loading, "load_source", lambda source: blind)

    def make(settings=DATA, **meta):
        row = Recipe("row", RetinaNet(R50, num_classes=3), settings, detectron("1x", 0.01))
        meta |= {"recipe": to_dict(row), "labels": to_dict(LABELS)}
        (tmp_path / "run").mkdir(exist_ok=True)
        write_npz(tmp_path / "run/last.npz", {"weights/a": np.zeros(1)}, meta)
        return str(tmp_path / "run")

    return make


def test_table_and_files(folder, run_folder, tmp_path, capsys):
    assert cli.main(["evaluate", run_folder(), "--data", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("AP 0.0  AP50 0.0  AP75 0.0\n")
    assert json.loads((tmp_path / "run/detections.json").read_text()) == []
    assert json.loads((tmp_path / "run/metrics.json").read_text())["AP50"] == 0


def test_a_row_is_evaluated_by_name(folder, tmp_path, monkeypatch, capsys):
    def load(source):
        assert (source.recipe.name, source.path) == ("yolov3_r34", tmp_path / "w")
        assert source.recipe.data.short_side == 64
        return blind

    monkeypatch.setattr(loading, "load_source", load)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").write_bytes(bytes(12))  # as a file of all variables begins
    said = ["yolov3_r34", f"--weights={tmp_path / 'w'}", "--data", str(folder)]
    small = ["data.short_side=64", "data.long_side=64", "model.num_classes=3"]
    assert cli.main(["evaluate", *said, *small]) == 0
    assert (tmp_path / "runs/yolov3_r34/metrics.json").is_file()


def test_the_metric_is_that_of_the_recipe(folder, run_folder, tmp_path, capsys):
    """Also without --metric; all numbers of VOC's metric are in the file."""
    run = run_folder(Data(dataset="voc", short_side=64, long_side=96, pad_to=32))
    assert cli.main(["evaluate", run, "--data", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("mAP 0.0 (11-point, IoU 0.5)\n")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["mAP_area"] == 0 and metrics["mAP_11point_detected"] is None
    assert cli.main(["evaluate", run, "--data", str(folder), "--metric=coco"]) == 0
    assert capsys.readouterr().out.startswith("AP 0.0  AP50")


def test_a_run_knows_its_data(folder, run_folder, tmp_path, capsys):
    known = Records.open(folder).fingerprint
    assert cli.main(["evaluate", run_folder(data_path=str(folder), data=known)]) == 0
    assert "note: " not in capsys.readouterr().err
    assert cli.main(["evaluate", run_folder(data_path=str(folder), data="0" * 16)]) == 0
    note = f"note: the training data in {folder} is not that of the run any more\n"
    assert capsys.readouterr().err.startswith(note)
    assert cli.main(["evaluate", run_folder(data_path=str(tmp_path / "gone"))]) == 1
    error = capsys.readouterr().err
    assert f"its data set {tmp_path / 'gone'} is not there; pass a data set with --data" in error
    assert cli.main(["evaluate", run_folder()]) == 1
    assert "it does not tell its data set; pass" in capsys.readouterr().err


def test_a_run_that_was_moved_with_its_data(folder, run_folder, tmp_path, capsys):
    run = run_folder(data_path=str(tmp_path / "before/data"))
    shutil.copytree(folder, tmp_path / "run/data/val")
    assert cli.main(["evaluate", run]) == 0
    assert capsys.readouterr().out.startswith("AP 0.0")


def test_several_sides_in_one_call(folder, run_folder, tmp_path, monkeypatch, capsys):
    seen = []

    def detector(inputs):
        seen.append(tuple(inputs["image"].shape[1:3]))
        return blind(inputs)

    said = [run_folder(stretched_data(64)), "--data", str(folder), "--batch=5", "--sides"]
    monkeypatch.setattr(loading, "load_source", lambda source: detector)
    assert cli.main(["evaluate", *said, "64,96"]) == 0
    assert seen == [(64, 64), (96, 96)]
    out = capsys.readouterr().out
    assert "at 64 x 64" in out and (tmp_path / "run/metrics_96.json").is_file()


def test_devices_share_the_images_with_equal_results(folder, tmp_path):
    """In processes of their own, because TensorFlow is asked for two devices before it starts."""
    small = ["model.backbone.width=0.25", "model.num_classes=3", "model.max_detections=20"]
    detector = loading.load("ssd_mobilenet_v1_voc", None, overrides=small)
    detector.labels = LABELS
    detector.save(tmp_path / "small.npz")
    found = []
    for replicas in (1, 2):
        out = tmp_path / str(replicas)
        said = ["--data", folder, "--out", out, "--batch=2", f"--replicas={replicas}"]
        command = [sys.executable, "-m", "kdet", "evaluate", tmp_path / "small.npz", *said]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append([(out / f"{name}.json").read_bytes() for name in ("detections", "metrics")])
    assert len(json.loads(found[0][0])) > 20  # random weights find something everywhere
    assert found[0] == found[1]


def test_an_export_runs_on_one_device(tmp_path):
    source = sources.Source(None, None, "export", tmp_path / "detector.tflite")
    with pytest.raises(ConfigError, match="--replicas 2: .*tflite is an export for one device"):
        shares.load_on_devices(source, 2)
