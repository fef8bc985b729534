"""Annotations of any form are recognised, and converted once."""

import json
import subprocess
import sys

import folders
import pytest
from PIL import Image

from kdet.data.convert.any import cached_records, read_any
from kdet.errors import DataError

BOX = "0 0.5 0.5 0.25 0.5\n"


def coco(tmp_path, name, folder="images", images=range(3)):
    """A COCO file and its images at these places."""
    data = folders.coco_data()
    data["images"] = [data["images"][k] for k in images]
    known = {image["id"] for image in data["images"]}
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] in known]
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(json.dumps(data))
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for image in data["images"]:
        size = image["height"], image["width"]
        Image.fromarray(folders.pixels(*size)).save(tmp_path / folder / image["file_name"])


def voc(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(folders.pixels(20, 30)).save(folder / f"{name}.jpg")
        (folder / f"{name}.xml").write_text(folders.VOC)


def yolo(folder, yaml=folders.YOLO):
    folders.write_yolo(folder, {"images/train/a.png": BOX, "images/val/b.png": BOX}, yaml)


def devkit(folder, lists):
    root, listed = folders.write_voc(folder)
    listed.unlink()
    for name in lists:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("one\ntwo\n")


FORMS = {
    "coco, one file": (lambda p: coco(p, "a.json"), {None: 3}, "coco"),
    "coco, side by side": (lambda p: coco(p, "a.json", "."), {None: 3}, "coco"),
    "coco, cvat": (lambda p: coco(p, "annotations/instances_default.json"), {None: 3}, "coco"),
    "coco, official": (
        lambda p: (
            coco(p, "annotations/instances_train2017.json", "train2017"),
            coco(p, "annotations/instances_val2017.json", "val2017", [0]),
            coco(p, "annotations/person_keypoints_val2017.json", "val2017", [0]),
        ),
        {"train": 3, "val": 1},
        "coco",
    ),
    "coco, roboflow": (
        lambda p: (
            coco(p, "train/_annotations.coco.json", "train"),
            coco(p, "valid/_annotations.coco.json", "valid", [0, 1]),
            coco(p, "test/_annotations.coco.json", "test", [0]),
        ),
        {"train": 3, "val": 2, "test": 1},
        "coco",
    ),
    "voc, labelimg": (lambda p: voc(p, "abc"), {None: 3}, "voc"),
    "voc, sub-folders": (lambda p: (voc(p / "x", "a"), voc(p / "y", "b")), {None: 2}, "voc"),
    "voc, roboflow": (
        lambda p: (voc(p / "train", "abc"), voc(p / "valid", "d")),
        {"train": 3, "val": 1},
        "voc",
    ),
    "voc, devkit": (
        lambda p: devkit(p, [f"ImageSets/Main/{n}.txt" for n in ("train", "trainval", "val")]),
        {"train": 2, "val": 2},
        "voc",
    ),
    "voc, lists": (lambda p: devkit(p, ["train.txt", "valid.txt"]), {"train": 2, "val": 2}, "voc"),
    "voc, no lists": (lambda p: devkit(p, []), {None: 2}, "voc"),
    "yolo": (yolo, {"train": 1, "val": 1}, "yolo"),
    "yolo, another name": (
        lambda p: (yolo(p, None), (p / "my.yml").write_text(folders.YOLO)),
        {"train": 1, "val": 1},
        "yolo",
    ),
    "yolo, names": (
        lambda p: (yolo(p, None), (p / "obj.names").write_text("cat\n")),
        {"train": 1, "val": 1},
        "yolo",
    ),
}


@pytest.mark.parametrize("deeper", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_forms(tmp_path, name, deeper):
    make, expected, kind = FORMS[name]
    make(tmp_path / "export" if deeper else tmp_path)
    (tmp_path / "README.txt").write_text("exported")
    found = read_any(tmp_path)
    assert {part: len(source.items) for part, source in found} == expected
    assert all(source.kind == kind and not source.problems for _, source in found)
    assert list(dict(read_any(tmp_path, sets=["train"]))) == list(expected)[:1]


def test_files(tmp_path):
    coco(tmp_path, "a/train.json", "far/away")
    with pytest.raises(DataError, match="found its first image '7.png' in none of .*name images="):
        read_any(tmp_path / "a/train.json")
    ((name, source),) = read_any(tmp_path / "a/train.json", tmp_path / "far/away")
    assert name == "train" and len(source.items) == 3
    yolo(tmp_path / "b")
    assert [part for part, _ in read_any(tmp_path / "b/data.yaml")] == ["train", "val"]


def test_what_is_not_recognised(tmp_path):
    expected = "expected COCO .json files, VOC .xml files, or YOLO labels with data.yaml or"
    with pytest.raises(DataError, match=f"{expected} classes.txt; found an empty folder$"):
        read_any(tmp_path)
    for name in ("a.jpg", "b.JPG", "c.csv"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=rf"{expected} .*; found 3 files \(2 .jpg, 1 .csv\)$"):
        read_any(tmp_path)
    with pytest.raises(DataError, match="found a file c.csv"):
        read_any(tmp_path / "c.csv")
    with pytest.raises(DataError, match="none: no such file or folder"):
        read_any(tmp_path / "none")
    coco(tmp_path, "one.json")
    coco(tmp_path, "two.json")
    with pytest.raises(DataError, match="one COCO file for each set, found one.json, two.json"):
        read_any(tmp_path)


def test_copies_are_made_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KDET_HOME", str(tmp_path / "home"))
    voc(tmp_path / "photos", "abcde")
    out = cached_records(tmp_path / "photos", split=0.6)
    assert out.parent == tmp_path / "home/records" and out.name.startswith("photos-")
    counts = [
        json.loads((out / p / "dataset.json").read_text())["records"] for p in ("train", "val")
    ]
    assert counts == [3, 2] and "3 images, 6 objects" in capsys.readouterr().err
    monkeypatch.setattr("kdet.data.convert.shards.prepare", None)
    assert cached_records(str(tmp_path / "photos"), images=None, split=0.6) == out
    assert capsys.readouterr().err == ""
    monkeypatch.undo()
    other = cached_records(tmp_path / "photos", cache=tmp_path / "cache")
    assert other.parent == tmp_path / "cache" and other.name != out.name
    (tmp_path / "photos/a.xml").write_text(folders.VOC.replace("ant", "bee"))
    assert cached_records(tmp_path / "photos", cache=tmp_path / "cache") != other
    for path in (out, out / "train", out / "train/dataset.json"):
        assert cached_records(path) == (path.parent if path.suffix else path)


def test_the_sets_of_the_data_are_used(tmp_path):
    yolo(tmp_path / "data")
    out = cached_records(tmp_path / "data", cache=tmp_path / "cache")
    names = [json.loads((out / p / "dataset.json").read_text())["source"] for p in ("train", "val")]
    assert [name["annotations"] for name in names] == ["data.yaml train", "data.yaml val"]
    (tmp_path / "data/data.yaml").write_text("names: [cat]\nval: images/val\n")
    with pytest.raises(DataError, match="expected images to train on, found only a set for valid"):
        cached_records(tmp_path / "data", cache=tmp_path / "cache")


SCRIPT = """
import sys
from kdet.data import cached_records
print("this script runs")
print(cached_records(sys.argv[1], cache=sys.argv[2]))
"""


def test_a_script_without_a_guard(tmp_path):
    """More than 64 images are checked by processes of their own; they must not run the script."""
    voc(tmp_path / "photos", [f"{k}" for k in range(70)])
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, tmp_path / "script.py", tmp_path / "photos", tmp_path / "cache"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and done.stdout.count("this script runs") == 1, done.stderr
    assert (tmp_path / "cache" / done.stdout.split()[-1] / "val/dataset.json").is_file()
