"""Lists that are no lists of images, and what COCO's file names may look like."""

import json

import folders
import pytest
from PIL import Image

from kdet.cli import main
from kdet.data.convert.coco import convert_coco
from kdet.data.convert.voc import read_voc
from kdet.errors import DataError


def listed(tmp_path, lines):
    """A VOC folder of the images one and two with this list. Returns folder and list."""
    root, list_file = folders.write_voc(tmp_path / "voc")
    list_file.write_text("\n".join(lines) + "\n")
    return root, list_file


CLASS_LISTS = {
    "voc": ["a  1", "b -1"],
    "tabs": ["a\t1", "b\t0"],
    "with suffixes": ["a.jpg 1", "b.jpg -1"],
    "numbers": ["a 3", "b 12"],
}


@pytest.mark.parametrize("name", CLASS_LISTS)
def test_lists_of_one_class_are_explained(tmp_path, name):
    lines = CLASS_LISTS[name]
    with pytest.raises(DataError) as caught:
        read_voc(*listed(tmp_path, lines))
    said = str(caught.value)
    assert f"list.txt: line 1: expected the name of an image, got {lines[0]!r}" in said
    assert "the list of one class" in said and "trainval.txt" in said and "\n" not in said


def test_names_that_end_in_numbers_are_no_class_list(tmp_path):
    root, list_file = listed(tmp_path, ["cat 1", "cat 2"])
    for number, name in enumerate(("one", "two"), 1):
        (root / f"JPEGImages/{name}.jpg").rename(root / f"JPEGImages/cat {number}.jpg")
        (root / f"Annotations/{name}.xml").rename(root / f"Annotations/cat {number}.xml")
    source = read_voc(root, list_file)
    assert [item.name for item in source.items] == ["cat 1.jpg", "cat 2.jpg"]


def test_the_first_cause_is_not_hidden(tmp_path):
    expected = "expected at least one named object .*; first problem: list.txt: line 1: 'x': found"
    with pytest.raises(DataError, match=expected):
        read_voc(*listed(tmp_path, ["x", "y"]))


NO_LISTS = {
    "coco.json": (json.dumps({"images": [{"file_name": "a" * 400}]}).encode(), "got JSON; a COCO"),
    "list.txt": (b'\xef\xbb\xbf [\n{"id": 1}]', "got JSON"),
    "cut.json": (b'{"images": [', "got JSON"),
    "a.xml": (b"<annotation></annotation>", "got XML"),
    "page.html": (b"\n<!DOCTYPE html><p>", "got XML"),
    "a.zip": (b"PK\x03\x04\0\0", "got a zip archive"),
    "bytes": (b"ab\0\0", "got a binary file"),
    "utf16.txt": ("a\r\n".encode("utf-16"), "got UTF-16 text; save it as UTF-8"),
    "latin.txt": ("käse".encode("latin-1"), "UTF-8 text"),
}


@pytest.mark.parametrize("name", NO_LISTS)
def test_other_files_given_as_the_list(tmp_path, name):
    content, expected = NO_LISTS[name]
    root, _ = folders.write_voc(tmp_path / "voc")
    (root / name).write_bytes(content)
    for paths in ((root / name,), (root / "list.txt", root / name)):
        with pytest.raises(DataError, match=f"^[^\n]*{name}: expected [^\n]*{expected}[^\n]*$"):
            read_voc(root, *paths)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "bmp", "gif"])
def test_an_image_given_as_the_list(tmp_path, kind, capsys):
    root, _ = folders.write_voc(tmp_path / "voc")
    Image.fromarray(folders.pixels(20, 30)).save(root / f"a.{kind}")
    flags = ["--devkit", str(root), "--list", str(root / f"a.{kind}"), "--out", str(tmp_path / "o")]
    assert main(["convert", "voc", *flags]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "expected a text file with one image per line, got a" in said


def test_a_folder_given_as_the_list(tmp_path):
    root, _ = folders.write_voc(tmp_path / "voc")
    with pytest.raises(DataError, match="JPEGImages: is a directory"):
        read_voc(root, root / "JPEGImages")


def coco_at(tmp_path, path, name):
    """A COCO data set whose image 7 lies at `path` and is called `name`."""
    data = folders.coco_data()
    data["images"][0]["file_name"] = name
    paths = folders.write_coco(tmp_path, data)
    target = tmp_path / "images" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "images/7.png").rename(target)
    return paths


COCO = {
    "sub-folder": ("dog/001.png", "dog/001.png"),
    "back-slashes": ("dog/young/001.png", "dog\\young\\001.png"),
    "space and comma": ("my dog, 1.png", "my dog, 1.png"),
    "accents": ("ka\u0308se/u\u0308.png", "k\xe4se/\xfc.png"),
    "upper case": ("A.PNG", "A.PNG"),
}


@pytest.mark.parametrize("name", COCO)
def test_coco_file_names(tmp_path, name):
    path, written = COCO[name]
    convert_coco(*coco_at(tmp_path, path, written), tmp_path / "out", workers=1)
    assert folders.report(tmp_path / "out") == []
    assert folders.features(tmp_path / "out")[0]["image/name"] == [written.encode()]


OUT = ["../7.png", "a/../../7.png", "/etc/7.png", "C:\\7.png", "..\\7.png", "\\\\host\\7.png"]


@pytest.mark.parametrize("written", OUT)
def test_coco_file_names_that_leave_the_folder(tmp_path, written):
    convert_coco(*coco_at(tmp_path, "7.png", written), tmp_path / "out", workers=1)
    (line,) = folders.report(tmp_path / "out")
    assert "image 7: file_name: expected a path inside the image folder, got" in line


def test_a_missing_coco_image_names_the_file_looked_for(tmp_path):
    convert_coco(*coco_at(tmp_path, "7.png", "dog\\8.png"), tmp_path / "out", workers=1)
    (line,) = folders.report(tmp_path / "out")
    assert line.endswith(f"no such file or directory; looked for {tmp_path}/images/dog/8.png")
