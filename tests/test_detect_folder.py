"""Odd, broken and very large images: a folder of photos is done but for what cannot be read."""

import json
import os
import warnings
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from kdet import cli
from kdet.config import Data, LabelMap
from kdet.errors import DataError
from kdet.models import loading
from kdet.predict import check_file, detect, listed, load_image

GRADIENT = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80) // 20  # 0..239
PHOTO = np.stack([GRADIENT, GRADIENT[::-1], GRADIENT[:, ::-1]], -1).astype(np.uint8)


class FakeDetector:
    """Finds one box in every image."""

    data = Data(short_side=64, long_side=64, pad_to=64)
    labels = LabelMap(("ant",), (1,))

    def __call__(self, inputs):
        count = len(inputs["image"])
        boxes = np.tile(np.array([1, 2, 30, 40], "float32"), (count, 1, 1))
        ones = np.ones((count, 1), "float32")
        labels = np.zeros((count, 1), "int32")
        return {"boxes": boxes, "scores": 0.9 * ones, "labels": labels, "valid": ones > 0}

    def detect(self, images, threshold=0.05):
        return detect(self, images, threshold)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs `kdet detect` in tmp_path; gives the exit code, the rows, and the lines of stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "load_source", lambda source: FakeDetector())

    def run(*images, out="out"):
        code = cli.main(["detect", "yolov3_r34", *map(str, images), "--out", out])
        file = tmp_path / out / "detections.json"
        rows = json.loads(file.read_text()) if file.exists() else None
        return code, rows, capsys.readouterr().err.splitlines()

    return run


def save(path, array=PHOTO, **options):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def cut(path, share=0.6):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def flip(path):
    """Damages the compressed pixels of a PNG: Pillow alone would decode other colours."""
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 40] ^= 0x55
    path.write_bytes(bytes(data))


def inflate(path):
    """A text in the PNG that is small on disk and 1 MiB in memory."""
    notes = PngImagePlugin.PngInfo()
    notes.add_text("comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    save(path, pnginfo=notes)


BROKEN = {
    "text_bomb.png": (inflate, "not a readable image"),
    "truncated.jpg": (lambda p: cut(save(p)), "truncated"),
    "truncated.png": (lambda p: cut(save(p)), "not a readable image"),
    "truncated.webp": (lambda p: cut(save(p)), "not a readable image"),
    "header_only.jpg": (lambda p: cut(save(p), 0.02), "not a readable image"),
    "checksum.png": (lambda p: flip(save(p)), "checksum"),
    "empty.jpg": (lambda p: p.write_bytes(b""), "got an empty file"),
    "text.jpg": (lambda p: p.write_text("a note"), "the file begins with b'a note'"),
    "page.png": (lambda p: p.write_text("<html>"), "the file begins with b'<html>'"),
    "folder.jpg": (lambda p: p.mkdir(), "expected an image file, got a folder"),
    "loop.jpg": (lambda p: p.symlink_to(p.name), "symbolic links"),
    "dangling.png": (lambda p: p.symlink_to("nowhere"), "no such image"),
    "pipe.png": (lambda p: os.mkfifo(p), "got a pipe, a socket or a device"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_one_line(name, tmp_path):
    make, said = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(DataError) as error:
        load_image(tmp_path / name)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / name}: ") and said in message and "\n" not in message


def test_one_bad_file_does_not_stop_a_folder(command, tmp_path):
    photos = tmp_path / "photos"
    for name in ("a.jpg", "z.PNG", ".hidden.jpg", "._a.jpg", "below/deeper.jpg"):
        save(photos / name)
    (photos / "notes.txt").write_text("no image by its name")
    for name, (make, _) in BROKEN.items():
        make(photos / name)
    code, rows, errors = command("photos")
    assert code == 1 and list(rows) == ["a.jpg", "z.PNG"]
    assert rows["a.jpg"] == [{"name": "ant", "score": pytest.approx(0.9), "box": [1, 2, 30, 40]}]
    assert sorted(os.listdir("out")) == ["a.png", "detections.json", "z.png"]
    assert len(errors) == len(BROKEN)
    for name in BROKEN:
        assert sum(f"kdet detect: photos/{name}: " in line for line in errors) == 1


def test_several_folders_and_what_is_missing(command, tmp_path):
    for name in ("one/a.jpg", "two/a.jpg", "two/b.jpg"):
        save(tmp_path / name)
    (tmp_path / "none").mkdir()
    code, rows, errors = command("one", "none", "two", "two/b.jpg", "c.jpg")
    assert code == 1 and list(rows) == ["a.jpg", "two/a.jpg", "b.jpg"]
    assert "none: expected a folder" in errors[0] and errors[1].endswith("c.jpg: no such image")
    assert sorted(os.listdir("out")) == ["a.png", "a_2.png", "b.png", "detections.json"]
    assert command("one", "two")[::2] == (0, [])


@pytest.mark.parametrize("images", [["none"], ["none", "x.jpg"], ["x.jpg"], ["x.jpg", "y.jpg"]])
def test_no_image_at_all_loads_no_detector(images, command, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "load_source", None)
    (tmp_path / "none").mkdir()
    code, rows, errors = command(*images)
    assert code == 1 and rows is None and len(errors) == len(images)
    assert all(line.startswith(f"kdet detect: {name}: ") for line, name in zip(errors, images))


def test_out_is_a_folder(command, tmp_path):
    save(tmp_path / "a.jpg")
    errors = ["kdet detect: --out a.jpg: expected a folder, got a file"]
    assert command("a.jpg", out="a.jpg")[::2] == (1, errors)


def test_ctrl_c_keeps_what_is_done(command, tmp_path, monkeypatch):
    for name in "abc":
        save(tmp_path / "in" / f"{name}.jpg")
    save(tmp_path / "in" / "a0.jpg").write_bytes(b"")
    find = FakeDetector.detect

    def interrupted(self, image):
        if image.name == "c.jpg":
            raise KeyboardInterrupt
        return find(self, image)

    monkeypatch.setattr(FakeDetector, "detect", interrupted)
    code, rows, errors = command("in")
    assert code == 130 and list(rows) == ["a.jpg", "b.jpg"]
    assert errors[-1] == "kdet detect: stopped after 2 of 3 images"


def test_ctrl_c_leaves_no_half_picture(command, tmp_path, monkeypatch):
    def half_written(self, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    save(tmp_path / "a.jpg")
    monkeypatch.setattr(Image.Image, "save", half_written)
    assert command("a.jpg")[:2] == (130, {})
    assert os.listdir("out") == ["detections.json"]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), FileNotFoundError()])
def test_a_file_that_vanishes_or_is_forbidden(error, command, tmp_path, monkeypatch):
    for name in "ab":
        save(tmp_path / f"in/{name}.jpg")
    open_image = Image.open

    def refuse(path, *rest):
        if str(path).endswith("a.jpg"):
            raise error
        return open_image(path, *rest)

    monkeypatch.setattr(Image, "open", refuse)
    code, rows, errors = command("in")
    said = "not a readable image: Permission denied" if error.args else "no such image"
    assert code == 1 and list(rows) == ["b.jpg"]
    assert errors == [f"kdet detect: in/a.jpg: {said}"]


def test_a_folder_that_is_forbidden(monkeypatch, tmp_path):
    denied = PermissionError(13, "Permission denied")
    monkeypatch.setattr(os, "listdir", Mock(side_effect=denied))
    with pytest.raises(DataError, match="not a readable folder: Permission denied"):
        listed(tmp_path)


def test_names_of_any_letters_and_length(command, tmp_path):
    names = ["Katze 猫.jpg", "кот.jpg", "x" * 251 + ".jpg", "猫" * 83 + ".jpg", "two\nlines.jpg"]
    for name in names:
        save(tmp_path / "in" / name)
        save(tmp_path / "too" / name)
    code, rows, errors = command("in", "too")
    assert code == 0 and not errors and len(rows) == 10 and len(os.listdir("out")) == 11
    (tmp_path / "in" / names[-1]).write_bytes(b"")
    assert command(f"in/{names[-1]}")[2] == [
        "kdet detect: in/two lines.jpg: expected an image, got an empty file"
    ]
    for path, said in (("n" * 300, "too long"), ("a\0b", "null"), ("a.jpg/b.jpg", "no such image")):
        with pytest.raises(DataError, match=said):
            check_file(path)


def test_large_photos_are_fine_and_huge_ones_name_the_limit(tmp_path, monkeypatch):
    """Between half the limit and the limit Pillow warns, which is nothing to bother people with."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(save(tmp_path / "large.png")).shape == (60, 80, 3)
    for name in ("huge.png", "huge.jpg", "huge.gif"):
        with pytest.raises(DataError) as error:
            load_image(save(tmp_path / name, np.zeros((3000, 2000), np.uint8)))
        assert str(error.value).endswith(
            f"{name}: image too large: it has 6.0 megapixels and the limit is 0.0; "
            "make it smaller first"
        )


def test_a_photo_of_40_megapixels(tmp_path):
    save(tmp_path / "40.png", np.full((5000, 8000), 7, np.uint8), compress_level=1)
    found = FakeDetector().detect(tmp_path / "40.png")[0]
    assert found.image.shape == (5000, 8000, 3) and found.draw().size == (8000, 5000)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_animations_show_their_first_picture(suffix, tmp_path):
    first, second = (Image.new("RGB", (16, 12), colour) for colour in ("red", "blue"))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    assert len(listed(tmp_path)) == 1
    pixels = load_image(tmp_path / f"a.{suffix}")
    assert np.abs(pixels.astype(int) - [255, 0, 0]).max() < 8


def test_every_mode_looks_like_the_picture(tmp_path):
    grey = PHOTO[..., 0]
    save(tmp_path / "16.png", GRADIENT * 256)
    save(tmp_path / "12.png", GRADIENT * 16)
    for mode in ("L", "LA"):
        Image.fromarray(grey).convert(mode).save(tmp_path / f"{mode}.png")
    for name in ("16.png", "12.png", "L.png", "LA.png"):
        pixels = load_image(tmp_path / name).astype(int)
        assert np.abs(pixels - grey[..., None]).max() <= 17, name
    colours = Image.fromarray(PHOTO)
    colours.convert("CMYK").save(tmp_path / "cmyk.tif")
    colours.convert("RGBA").save(tmp_path / "alpha.png")
    colours.quantize(256).save(tmp_path / "palette.png", transparency=bytes(range(256)))
    for name in ("cmyk.tif", "alpha.png", "palette.png"):
        pixels = load_image(tmp_path / name).astype(int)
        assert np.abs(pixels - PHOTO).mean() < 8, name
