"""`kdet detect` with batches and with tiles."""

import json

import numpy as np
import pytest
from eye import SCALED, Eye, scene
from PIL import Image

from kdet import cli
from kdet.models import loading
from kdet.predict import detect
from kdet.predict.images import image_size
from kdet.predict.run import canvas_of, file_batches

BOXES = [(5, 5, 25, 30), (30, 8, 50, 20)]
WIDE = type(SCALED)(short_side=48, long_side=64, pad_to=16, mean=SCALED.mean, std=SCALED.std)


class Looking(Eye):
    data = WIDE

    def detect(self, images, **options):
        return detect(self, images, **options)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs `kdet detect` in tmp_path; gives the exit code, the rows, stderr and the detector."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        eye = Looking()
        monkeypatch.setattr(loading, "load_source", lambda source: eye)
        code = cli.main(["detect", "yolov3_r34", *map(str, arguments), "--out", "out"])
        rows = json.loads((tmp_path / "out" / "detections.json").read_text())
        return code, rows, capsys.readouterr().err.splitlines(), eye

    return run


def photos(folder, sizes):
    folder.mkdir()
    for k, size in enumerate(sizes):
        Image.fromarray(scene(size, BOXES[: 1 + k % 2])).save(folder / f"{k}.png")


def test_batches_change_nothing_but_the_calls(command, tmp_path):
    """Landscape and portrait images take turns; the last of each come at the end."""
    photos(tmp_path / "in", [(48, 64), (64, 48)] * 3 + [(48, 64)])
    (tmp_path / "in" / "4.png").write_bytes(b"no image")
    code, alone, errors, eye = command("in")
    assert code == 1 and list(alone) == [f"{k}.png" for k in (0, 1, 2, 3, 5, 6)]
    assert [len(rows) for rows in alone.values()] == [1, 2, 1, 2, 2, 1]
    assert eye.batches == [(1, 48, 64), (1, 64, 48)] * 2 + [(1, 64, 48), (1, 48, 64)]
    pictures = {p.name: p.read_bytes() for p in (tmp_path / "out").glob("*.png")}
    code, rows, same_errors, eye = command("in", "--batch", 2)
    assert code == 1 and rows == alone and list(rows) == list(alone) and same_errors == errors
    assert eye.batches == [(2, 48, 64), (2, 64, 48), (1, 64, 48), (1, 48, 64)]
    assert pictures == {p.name: p.read_bytes() for p in (tmp_path / "out").glob("*.png")}


def test_an_image_that_breaks_late_leaves_its_batch_alone(command, tmp_path):
    photos(tmp_path / "in", [(48, 64)] * 3)
    file = tmp_path / "in" / "1.png"
    file.write_bytes(file.read_bytes()[:-30])  # the header is fine
    assert image_size(file) == (48, 64)
    code, rows, errors, eye = command("in", "--batch=3")
    assert code == 1 and list(rows) == ["0.png", "2.png"] and len(errors) == 1
    assert errors[0].startswith("kdet detect: in/1.png: not a readable image")
    assert eye.batches == [(1, 48, 64)] * 2


def test_files_of_one_canvas_share_a_batch(tmp_path):
    photos(tmp_path / "in", [(48, 64), (64, 48), (30, 40), (40, 30), (48, 64)])
    turned = Image.fromarray(np.zeros((64, 48, 3), np.uint8))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "in" / "5.png", exif=exif)
    paths = [*sorted((tmp_path / "in").iterdir()), tmp_path / "none.png"]
    assert image_size(paths[5]) == (48, 64) and image_size(paths[6]) is None
    assert canvas_of((48, 64), WIDE) != canvas_of((64, 48), WIDE)
    assert list(file_batches(paths, WIDE, 2)) == [[0, 2], [1, 3], [4, 5], [6]]
    assert list(file_batches(paths, WIDE, 1)) == [[k] for k in range(7)]


def test_tiles(command, tmp_path):
    (tmp_path / "in").mkdir()
    boxes = [(20, 20, 100, 30), (120, 60, 140, 90)]
    Image.fromarray(scene((96, 160), boxes)).save(tmp_path / "in" / "large.png")
    code, rows, _, eye = command("in", "--tiles", "--no-whole", "--batch=3")
    assert code == 0 and {tuple(row["box"]) for row in rows["large.png"]} == set(boxes)
    assert [shape[0] for shape in eye.batches] == [3, 3, 3]  # 3 x 3 tiles of 48 x 64
    eye = command("in", "--tiles=64", "--overlap=0.5")[3]
    assert [shape[0] for shape in eye.batches] == [4, 4, 1]  # 2 x 4 tiles and the whole image


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--batch=0"], "batch: expected at least 1 image per call, got 0"),
        (["--tiles=5"], "tiles: expected a size of at least 32 pixels, got 5"),
        (["--tiles", "--overlap=1"], "overlap: expected a share of 0 to 0.9, got 1.0"),
        (["--every=0"], "--every: expected at least 1, got 0"),
    ],
)
def test_flags_are_checked_before_the_detector_is_loaded(flags, said, monkeypatch, capsys):
    monkeypatch.setattr(loading, "load_source", None)
    assert cli.main(["detect", "yolov3_r34", "a.jpg", *flags]) == 1
    assert capsys.readouterr().err == f"kdet detect: {said}\n"


def test_an_image_behind_tiles_is_explained(capsys):
    with pytest.raises(SystemExit):
        cli.main(["detect", "yolov3_r34", "--tiles", "a.jpg"])
    said = "argument --tiles: 'a.jpg' is no number of pixels; images go before --tiles"
    assert said in capsys.readouterr().err
