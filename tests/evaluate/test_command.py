"""`kdet evaluate`: from a run folder to a table and two files."""

import json

import numpy as np

from kdet import cli, models
from kdet.config import Data, LabelMap, stretched_data


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


def test_table_and_files(folder, tmp_path, monkeypatch, capsys):
    blind.data = Data(short_side=64, long_side=96, pad_to=32)
    blind.labels = LabelMap(("circle", "square", "star"), (5, 17, 90))
    monkeypatch.setattr(models, "load", lambda path, overrides: blind)
    (tmp_path / "last.npz").touch()
    assert cli.main(["evaluate", str(tmp_path), "--data", str(folder)]) == 0
    assert "AP 0.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "detections.json").read_text()) == []
    assert json.loads((tmp_path / "metrics.json").read_text())["AP50"] == 0


def test_a_row_is_evaluated_by_name(folder, tmp_path, monkeypatch, capsys):
    def load(name, weights, overrides):
        assert (name, weights, overrides) == ("yolov3_r34", "w", ["data.short_side=64"])
        blind.data = Data(short_side=64, long_side=96, pad_to=32)
        blind.labels = LabelMap(("circle", "square", "star"), (5, 17, 90))
        return blind

    monkeypatch.setattr(models, "load", load)
    monkeypatch.chdir(tmp_path)
    said = ["yolov3_r34", "--weights=w", "--data", str(folder), "data.short_side=64"]
    assert cli.main(["evaluate", *said]) == 0
    assert (tmp_path / "runs/yolov3_r34/metrics.json").is_file()


def test_a_run_without_checkpoint_is_one_line(tmp_path, capsys):
    assert cli.main(["evaluate", str(tmp_path)]) == 1
    assert "expected best.npz or last.npz" in capsys.readouterr().err


def test_several_sides_in_one_call(folder, tmp_path, monkeypatch, capsys):
    seen = []

    def detector(inputs):
        seen.append(tuple(inputs["image"].shape[1:3]))
        return blind(inputs)

    detector.labels = LabelMap(("circle", "square", "star"), (5, 17, 90))
    detector.data = stretched_data(64)
    monkeypatch.setattr(models, "load", lambda path, overrides: detector)
    (tmp_path / "last.npz").touch()
    said = [str(tmp_path), "--data", str(folder), "--batch=5", "--sides"]
    assert cli.main(["evaluate", *said, "64,96"]) == 0
    assert seen == [(64, 64), (96, 96)]
    assert "at 64 x 64" in capsys.readouterr().out and (tmp_path / "metrics_96.json").is_file()
    assert cli.main(["evaluate", *said, "50"]) == 1
    assert "multiples of 32" in capsys.readouterr().err
