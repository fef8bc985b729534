"""The command and the page: from a detector and a data set to files."""

import base64
import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from animals import NAMES
from PIL import Image

from kdet import cli
from kdet.analyse import analyse
from kdet.analyse.history import read_log
from kdet.config import LabelMap, Recipe, RetinaNet, coco_data, detectron
from kdet.config.text import to_dict
from kdet.models import loading
from kdet.weights.npz import write_npz

FIGURES = {"errors", "curves", "ap_by_iou", "confusion", "sizes", "labels", "worst"}
ROW = Recipe("row", RetinaNet(num_classes=2), coco_data(), detectron("1x", 0.01))
META = {"recipe": to_dict(ROW), "labels": to_dict(LabelMap(NAMES, (5, 9)))}
LOG = [
    {"step": 20, "losses": {"box": 1.5, "class": 2.5}, "rate": 0.1},
    {"step": 40, "losses": {"box": 0.5, "class": 1.0}, "rate": 0.1},
    {"step": 40, "val_losses": {"box": 0.75, "class": 1.25}},
    {"step": 40, "eval": {"AP": 0.25, "APs": None}},
]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "log.jsonl"
    lines = [json.dumps(line) for line in LOG]
    path.write_text("\n".join([*lines, '{"step": 60, "los', "[]", '{"step": "x"}']))
    return path


@pytest.fixture(scope="module")
def report(folder, detector, log, tmp_path_factory):
    """(folder of the report, numbers)."""
    out = tmp_path_factory.mktemp("report")
    return out, analyse(detector, folder / "val", out, log)


def test_log(log, tmp_path):
    found = read_log(log)
    assert found["losses"] == {
        "step": [20, 40], "box": [1.5, 0.5], "class": [2.5, 1.0], "total": [4.0, 1.5]
    }  # fmt: skip
    assert found["val_losses"]["total"] == [2.0]
    assert found["eval"] == {"step": [40], "AP": [0.25]}
    nothing = {"losses": {}, "val_losses": {}, "eval": {}}
    assert read_log(tmp_path / "none") == read_log(None) == nothing


def test_numbers(report):
    """All of the six counted detections of image 11 have a threshold of at least that of the only
    correct one, 0.9: one of four objects is found, without an error."""
    out, numbers = report
    assert numbers == json.loads((out / "analysis.json").read_text())
    assert (numbers["images"], numbers["objects"], numbers["detections"]) == (3, 4, 6)
    assert numbers["threshold"] == pytest.approx(0.9) and numbers["shown_detections"] == 1
    assert numbers["best"] == pytest.approx(
        {"threshold": 0.9, "precision": 1.0, "recall": 0.25, "f1": 0.4}
    )
    assert numbers["AP50"] == pytest.approx(51 / 202)
    assert numbers["errors"]["missed"]["count"] == 3
    assert numbers["errors"]["class"]["ap50_cost"] == pytest.approx(51 / 202)
    assert numbers["labels"] == {"train": [2, 2], "val": [2, 2]}
    assert numbers["worst"] == [
        {"image_id": 11, "file_name": "<11>.png", "penalty": 3.0, "correct": 1, "missed": 3,
         "wrong": 0}
    ]  # fmt: skip
    assert "most costly errors are errors of the class: without them" in numbers["summary"]


def test_files(report):
    out, _ = report
    pictures = {path.stem for path in out.glob("*.png")}
    assert pictures == FIGURES | {"loss", "losses", "metric"}
    assert {path.name for path in out.iterdir()} == {
        "report.html", "analysis.json", *(f"{name}.png" for name in pictures)
    }  # fmt: skip


class Reader(html.parser.HTMLParser):
    """Collects the text and the images, and checks that elements are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.images = [], "", []

    def handle_starttag(self, tag, attributes):
        if tag in ("img", "meta"):
            self.images += [dict(attributes)["src"]] if tag == "img" else []
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page(report):
    out, numbers = report
    page = (out / "report.html").read_text("utf-8")
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert f"{NAMES[0]}4110" not in reader.text and NAMES[0] in reader.text  # unescaped once
    assert "<cat>" not in page and "&lt;cat&gt; &amp; co" in page and "&lt;11&gt;.png" in page
    assert numbers["summary"] in reader.text
    assert "<script" not in page and not re.search(r"https?://|src=\"(?!data:)", page)
    figures = {*FIGURES - {"worst"}, "loss", "losses", "metric"}
    inside = [base64.b64decode(source.partition(",")[2]) for source in reader.images]
    assert {(out / f"{name}.png").read_bytes() for name in figures} <= set(inside)
    assert len(inside) == len(figures) + 1  # and one image with errors


def test_a_blind_detector(folder, detector, tmp_path):
    """Nothing is detected: everything is missed, and no threshold is a good one."""

    def blind(inputs):
        found = detector(inputs)
        return {**found, "valid": np.zeros_like(found["valid"])}

    blind.data = detector.data
    numbers = analyse(blind, folder / "val", tmp_path)
    assert numbers["best"] is None and numbers["AP"] == 0 and numbers["detections"] == 0
    assert numbers["errors"]["missed"] == {"count": 4, "ap50_cost": 0.0}
    assert "no score threshold is a good one" in numbers["summary"]
    assert (tmp_path / "report.html").is_file() and not (tmp_path / "loss.png").exists()


def test_the_command(folder, detector, tmp_path, monkeypatch, capsys):
    """The data set is that of the checkpoint, the log that of the run."""
    monkeypatch.setattr(loading, "load_source", lambda source: detector)
    write_npz(tmp_path / "best.npz", {}, {**META, "data_path": str(folder)})
    (tmp_path / "log.jsonl").write_text(json.dumps(LOG[0]))
    assert cli.main(["analyse", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "On 3 images with 4 objects of 2 classes, AP is" in printed
    assert f"the report is {tmp_path}/analysis/report.html" in printed
    assert (tmp_path / "analysis" / "loss.png").is_file()
    assert cli.main(["analyse", str(tmp_path), "--split=train", f"--out={tmp_path}/o"]) == 0
    assert json.loads((tmp_path / "o" / "analysis.json").read_text())["data"].endswith("train")


@pytest.mark.parametrize("meta", [{}, {"data_path": None}, {"data_path": ""}])
@pytest.mark.parametrize("command", ["analyse", "evaluate"])
def test_a_run_that_does_not_say_its_data(command, meta, tmp_path, capsys):
    write_npz(tmp_path / "best.npz", {}, {**META, **meta})
    assert cli.main([command, str(tmp_path)]) == 1
    assert "pass a data set with --data" in capsys.readouterr().err


@pytest.mark.parametrize("width", [1200, 400])
def test_a_browser_shows_the_page(report, width, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("no chromium")
    out, _ = report
    shot = tmp_path / "shot.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    size = [f"--window-size={width},1600", f"--user-data-dir={tmp_path / 'profile'}"]
    words = [chromium, *flags, *size, f"--screenshot={shot}", f"file://{out / 'report.html'}"]
    subprocess.run(words, check=True, capture_output=True, timeout=100)
    pixels = np.asarray(Image.open(shot).convert("L"))
    dark = (pixels < 100).any(axis=1)
    assert pixels.shape == (1600, width) and dark[:500].any() and dark[1000:].any()
    margins = pixels[:, [0, 3, -4, -1]]
    assert (margins == 255).all()  # nothing is cut off at the sides
