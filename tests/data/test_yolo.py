"""YOLO data: which files belong together, what a line means, and what is refused."""

import json
import struct

import folders
import pytest
from PIL import Image

from kdet.cli import main
from kdet.data.convert.yolo import convert_yolo, read_yolo
from kdet.errors import ConfigError, DataError

BOX = "1 0.5 0.5 0.25 0.5\n"  # 40 x 20 pixels: x 15..25, y 5..15
TWO = {"images/train/a.png": BOX, "images/train/b.png": None, "images/val/c.png": BOX}


def read(tmp_path, text, yaml=folders.YOLO):
    """The set train of one image with these labels."""
    labels = {"images/train/a.png": text, "images/val/b.png": BOX}
    return read_yolo(folders.write_yolo(tmp_path, labels, yaml), ["train"])["train"]


def names(source):
    return [item.name for item in source.items]


def test_records_hold_pixels(tmp_path):
    data = folders.write_yolo(tmp_path / "data", TWO)
    (data / "labels/train/a.txt").write_text(BOX + "0 0.1 0.2 0.9 0.2 0.9 0.8\n")
    made = convert_yolo(data, tmp_path / "out", workers=1)
    assert list(made) == ["train", "val"]
    assert made["train"]["labels"] == {"names": ["cat", "dog"], "ids": [0, 1]}
    assert made["train"]["source"] == {"kind": "yolo", "annotations": "data.yaml train"}
    first, second = folders.features(tmp_path / "out/train")
    assert (first["image/name"], second["image/name"]) == ([b"a.png"], [b"b.png"])
    boxes = struct.unpack("<8d", first["object/bbox"][0])
    assert boxes == pytest.approx((15, 5, 10, 10, 4, 4, 32, 12))
    assert first["object/label"] == [1, 0] and second["object/label"] == []
    assert first["polygon/points"] == pytest.approx([4, 4, 36, 4, 36, 16])
    areas = struct.unpack("<2d", first["object/area"][0])
    assert areas == pytest.approx((100, 32 * 12 / 2))  # the box; the triangle
    report = json.loads((tmp_path / "out/train/report.json").read_text())
    assert (
        report["notes"]["images without an annotation file, taken as images without objects"] == 1
    )


def test_a_turned_image_has_its_upright_size(tmp_path):
    data = folders.write_yolo(tmp_path, TWO)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored 40 x 20, upright 20 x 40
    Image.fromarray(folders.pixels(20, 40)).save(data / "images/train/a.png", exif=exif)
    item = read_yolo(data)["train"].items[0]
    assert (item.height, item.width) == (40, 20)
    assert item.objects[0].bbox == pytest.approx((7.5, 10, 5, 20))


LINES = {
    "four": ("0 .5 .5 .1", "", "expected a class and 4 numbers, or 3 or more points, got 4 values"),
    "score": ("0 .5 .5 .1 .1 .9", "", "got 6 values"),
    "half a point": ("0 .1 .1 .2 .2 .3 .3 .4", "", "got 8 values"),
    "class": ("2 .5 .5 .1 .1", "class", "expected one of 0, 1, got '2'"),
    "word": ("cat .5 .5 .1 .1", "class", "expected one of 0, 1, got 'cat'"),
    "pixels": ("0 120 .5 .1 .1", "cx", "expected a number of 0..1, got '120'"),
    "nan": ("0 .5 nan .1 .1", "cy", "expected a number of 0..1, got 'nan'"),
    "inf": ("0 .5 .5 inf .1", "w", "expected a number of 0..1, got 'inf'"),
    "below": ("0 .5 .5 .1 -.1", "h", "expected a number of 0..1, got '-.1'"),
    "polygon": ("0 .1 .1 .2 .2 .3 1.3", "y3", "expected a number of 0..1, got '1.3'"),
    "flat": ("0 .5 .5 .1 0", "bbox", "expected a positive width and height, got 4 x 0"),
    "line": ("0 .1 .1 .2 .1 .3 .1", "bbox", "expected a positive width and height"),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_that_are_left_out(tmp_path, name):
    line, field, message = LINES[name]
    source = read(tmp_path, f"\n{line}\n{BOX}")
    (problem,) = source.problems
    assert (problem.file, problem.where, problem.field) == ("labels/train/a.txt", "line 2", field)
    assert message in problem.message and "\n" not in str(problem)
    assert [o.id for o in source.items[0].objects] == [2] and source.annotated == 2


def test_numbers_as_they_are_written(tmp_path):
    source = read(tmp_path, "1.0 0.5 0.5 1.0 1.0\n0 4.999995e-01 .5 1 1\r\n" + 2 * BOX)
    assert source.problems == [] and source.notes == {
        "lines that repeat another line of their label file, left out": 1
    }
    whole, rounded, _ = source.items[0].objects
    assert whole.label == 1 and whole.bbox == (0, 0, 40, 20)
    assert rounded.bbox == pytest.approx((0, 0, 39.99998, 20))  # no rounding error leaves the image


def test_key_points_are_passed_over(tmp_path):
    yaml = folders.YOLO + "kpt_shape: [2, 3]\n"
    source = read(tmp_path, BOX.strip() + " .1 .1 2 .2 .2 1\n", yaml)
    assert source.items[0].objects[0].polygons == () and not source.problems
    assert source.notes == {"objects with key points, of which only the box is used": 1}


def test_damaged_files_leave_their_image_out(tmp_path):
    data = folders.write_yolo(tmp_path, {**TWO, "images/train/d.png": BOX})
    (data / "labels/train/a.txt").write_bytes(b"\xff\xd8\xff\0")
    (data / "images/train/d.png").write_bytes(b"GIF89a")
    (data / "images/train/e.tif").write_bytes(b"II*\0")
    source = read_yolo(data)["train"]
    assert names(source) == ["b.png"]
    assert list(map(str, source.problems)) == [
        "images/train/e.tif: expected a JPEG, PNG, BMP or WebP image, got .tif",
        "labels/train/a.txt: expected a text file with one object per line, got a JPEG image",
        "d.png: image 3: expected a JPEG, PNG, BMP or WebP image, got a GIF image",
    ]


LAYOUTS = {
    "roboflow": ("train: ../train/images\nval: ../valid/images", "train/images", "train/labels"),
    "path": ("path: ./inner\ntrain: images", "inner/images", "inner/labels"),
    "path of another machine": ("path: /no/where\ntrain: images", "images", "labels"),
    "sub-folders": ("train: images", "images/x/y", "labels/x/y"),
    "two": ("train: [one/images, images/b]", "one/images", "one/labels"),
    "side by side": ("train: photos", "photos", "photos"),
    "side by side in images": ("train: images", "images", "images"),
    "images twice": ("train: images/images", "images/images", "images/labels"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path, name):
    text, images, labels = LAYOUTS[name]
    for folder in (images, labels, "valid/images", "images/b"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(folders.pixels(20, 40)).save(tmp_path / images / "a.b.jpg")
    (tmp_path / labels / "a.b.txt").write_text(BOX)
    (tmp_path / "data.yaml").write_text(f"{text}\nnames: [cat, dog]\nnc: 2\n")
    (item,) = read_yolo(tmp_path / "data.yaml", ["train"])["train"].items
    assert len(item.objects) == 1 and item.name == "a.b.jpg"


def test_lists_of_images(tmp_path):
    data = folders.write_yolo(tmp_path, TWO, "names: [cat, dog]\ntrain: lists/train.txt\n")
    (data / "lists").mkdir()
    lines = ["./images/val/c.png", "", "images\\train\\a.png", "images/x.png", "images/val/c.png"]
    (data / "lists/train.txt").write_text("\n".join(lines))
    source = read_yolo(data)["train"]
    assert names(source) == ["val/c.png", "train/a.png"]  # the order of the list
    assert list(map(str, source.problems)) == [
        "train.txt: line 4: found no image 'images/x.png'",
        "train.txt: line 5: 'images/val/c.png' comes twice",
    ]


def test_names_in_a_file_of_their_own(tmp_path):
    labels = {"frames/a.png": BOX, "frames/sub/b.png": None}
    data = folders.write_yolo(tmp_path, labels, yaml=None)
    with pytest.raises(DataError, match="expected data.yaml, or a folder with data.yaml or with"):
        read_yolo(data)
    (data / "classes.txt").write_text("cat\ndog\n")
    (source,) = read_yolo(data).values()
    assert names(source) == ["a.png", "sub/b.png"] and source.labels.names == ("cat", "dog")
    made = convert_yolo(data, tmp_path / "out", workers=1)
    assert made["records"] == 2 and (tmp_path / "out/dataset.json").is_file()
    for part in ("train", "valid"):
        folders.write_yolo(tmp_path / "parts" / part, {"a.png": BOX}, yaml=None)
    (tmp_path / "parts/train/_darknet.labels").write_text("cat\ndog\n")
    assert list(read_yolo(tmp_path / "parts")) == ["train", "val"]


def test_one_set(tmp_path, capsys):
    data = folders.write_yolo(tmp_path / "data", TWO)
    flags = ["convert", "yolo", "--data", str(data), "--out", str(tmp_path / "out")]
    assert main([*flags, "--set", "val", "--workers", "1"]) == 0
    assert "1 images, 1 objects of 2 classes" in capsys.readouterr().out
    assert (tmp_path / "out/dataset.json").is_file()
    assert main([*flags, "--set", "test"]) == 1
    said = "data.yaml: expected a set 'test', but it names train, val\n"
    assert capsys.readouterr().err.endswith(said)
    with pytest.raises(ConfigError, match="split: expected one set, got train, val; select one"):
        convert_yolo(data, tmp_path / "b", split=0.5)


def test_shared_images_are_noted(tmp_path):
    yaml = "names: [cat, dog]\ntrain: images/train\nval: images/train\n"
    data = folders.write_yolo(tmp_path / "data", TWO, yaml)
    convert_yolo(data, tmp_path / "out", workers=1)
    report = json.loads((tmp_path / "out/val/report.json").read_text())
    assert report["notes"]["images that are in an earlier set, too"] == 2


BAD = {
    "no folder": ("names: [a]\ntrain: imgs", "data.yaml: train: expected a folder of images or"),
    "no sets": ("names: [a]", "data.yaml: expected at least one of train, val and test"),
    "no names": ("train: images/train", "data.yaml: names: expected class names, got None"),
    "number": ("nc: 3\nnames: [a, b]\ntrain: x", "data.yaml: nc: expected 2, as in names, got 3"),
    "twice": ("names: [a, a]\ntrain: x", "data.yaml: names: expected distinct class names"),
    "table": ("names: [a]\ntrain: {0: x}", "data.yaml: train: expected a folder or list"),
    "form": ("names: [a\ntrain: x", "data.yaml: line 1: expected entries and ']'"),
}


@pytest.mark.parametrize("name", BAD)
def test_descriptions_that_cannot_be_used(tmp_path, name):
    yaml, message = BAD[name]
    data = folders.write_yolo(tmp_path, TWO, yaml)
    with pytest.raises(DataError) as caught:
        read_yolo(data)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_ids_with_gaps(tmp_path):
    yaml = "names: {0: cat, 7: dog}\ntrain: images/train\n"
    source = read(tmp_path, "7 .5 .5 .1 .1\n1 .5 .5 .1 .1\n", yaml)
    assert source.labels.ids == (0, 7) and source.items[0].objects[0].label == 1
    assert "expected one of 0, 7, got '1'" in str(source.problems[0])
