import json
import struct

import folders
import pytest

from kdet.data.convert.voc import convert_voc, read_voc
from kdet.errors import DataError


def test_records_hold_the_annotations(tmp_path):
    out = tmp_path / "out"
    summary = convert_voc(*folders.write_voc(tmp_path / "voc"), out, workers=1)
    first, second = folders.features(out)
    assert first["image/id"] == [1] and first["image/name"] == [b"one.jpg"]
    assert first["image/encoded"] == [(tmp_path / "voc/JPEGImages/one.jpg").read_bytes()]
    assert struct.unpack("<8d", first["object/bbox"][0]) == (1, 2, 10, 5, 3.5, 3, 5.5, 6)
    assert struct.unpack("<2d", first["object/area"][0]) == (50, 33)
    assert first["object/label"] == [1, 0] and first["object/difficult"] == [1, 0]
    assert (first["object/id"], second["object/id"]) == ([1, 2], [3, 4])
    assert summary["labels"] == {"names": ["ant", "cat"], "ids": [1, 2]}
    assert summary["counts"]["difficult"] == 2
    assert summary["source"] == {"kind": "voc", "annotations": "list.txt"}


def test_label_file_decides_order_and_membership(tmp_path):
    (tmp_path / "names").write_text("dog\ncat\n")
    source = read_voc(*folders.write_voc(tmp_path / "voc"), tmp_path / "names")
    assert source.labels.names == ("dog", "cat")
    assert [[o.label for o in i.objects] for i in source.items] == [[1], [1]]
    assert [str(p) for p in source.problems] == [
        f"{n}.xml: object 2: name: expected one of 2 class names, got 'ant'" for n in ("one", "two")
    ]


def test_lists_of_pairs_and_other_folder_names(tmp_path):
    folder, listed = folders.write_voc(tmp_path / "voc")
    (folder / "JPEGImages").rename(folder / "images")
    (folder / "Annotations").rename(folder / "annotations")
    assert len(read_voc(folder, listed).items) == 2
    listed.write_text("\n  images/two.jpg annotations/one.xml \r\n\n")
    (item,) = read_voc(folder, listed).items
    assert (item.name, item.id) == ("two.jpg", 1)


BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>7</ymax></bndbox>"
MALFORMED = {
    "cut": (lambda x: x[:100], "one.xml: expected XML: "),
    "empty": (lambda x: "", "one.xml: expected XML: no element found"),
    "bomb": (
        lambda x: '<!DOCTYPE a [<!ENTITY b "cccc">]>' + x.replace("cat", "&b;"),
        "one.xml: DOCTYPE: expected plain XML",
    ),
    "no size": (lambda x: x.replace("size>", "gone>"), "one.xml: size/height: expected an elem"),
    "zero": (lambda x: x.replace(">30<", ">0<"), "one.xml: size/width: expected a positive"),
    "part": (
        lambda x: x.replace(">30<", ">3.5<"),
        "one.xml: size/width: expected a positive",
    ),
    "size": (
        lambda x: x.replace(">30<", ">31<"),
        "one.jpg: image 1: expected the annotated size",
    ),
    "no box": (
        lambda x: x.replace(BOX, ""),
        "object 1: bndbox: expected an element, got nothing",
    ),
    "other box": (
        lambda x: x.replace("bndbox>", "robndbox>", 2),
        "object 1: bndbox: expected an element, got nothing; its box is written as 'robndbox'",
    ),
    "no corner": (
        lambda x: x.replace("<xmax>11</xmax>", ""),
        "object 1: bndbox/xmax: expected an element, got nothing",
    ),
    "text": (lambda x: x.replace(">11<", ">right<"), "bndbox/xmax: expected a finite number, got"),
    "nan": (
        lambda x: x.replace(">11<", ">nan<"),
        "bndbox/xmax: expected a finite number",
    ),
    "flat": (lambda x: x.replace(">7<", ">2<"), "bndbox: expected a positive width and height"),
    "swapped": (lambda x: x.replace(">11<", ">-11<"), "bndbox: expected a positive width and heig"),
    "outside": (
        lambda x: x.replace(">1<", ">40<").replace(">11<", ">50<"),
        "expected a box",
    ),
    "no name": (lambda x: x.replace("<name>cat</name>", ""), "object 1: name: expected an element"),
    "blank": (lambda x: x.replace(">cat<", "> <"), "object 1: name: expected a text, got an empty"),
    "difficult": (
        lambda x: x.replace("<difficult>1", "<difficult>2"),
        "object 1: difficult: expected 0 or 1, got '2'",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_annotations_are_left_out_and_listed(tmp_path, name):
    spoil, expected = MALFORMED[name]
    xml = spoil(folders.VOC)
    assert xml != folders.VOC
    paths, out = folders.write_voc(tmp_path / "voc", xml), tmp_path / "out"
    convert_voc(*paths, out, workers=1)
    (line,) = folders.report(out)
    assert expected in line and line.startswith("one.") and "\n" not in line
    with pytest.raises(DataError, match=r"^nothing was written: [^\n]*$"):
        convert_voc(*paths, tmp_path / "strict", strict=True, workers=1)
    assert not (tmp_path / "strict").exists()


def test_lists_that_cannot_be_used(tmp_path):
    folder, listed = folders.write_voc(tmp_path / "voc")
    listed.write_text("one\nthree\none\n")
    lines = list(map(str, read_voc(folder, listed).problems))
    assert lines[0] == "list.txt: line 2: 'three': found no annotation file Annotations/three.xml"
    assert lines[1] == "list.txt: line 3: 'one' comes twice"
    listed.write_text("\n")
    with pytest.raises(DataError, match="expected at least one"):
        convert_voc(folder, listed, tmp_path / "out")
    listed.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="list.txt: expected UTF-8 text"):
        read_voc(folder, listed)
    with pytest.raises(DataError, match="expected a VOC folder"):
        read_voc(folder / "none", listed)
    (tmp_path / "names").write_text("cat\ncat\n")
    with pytest.raises(DataError, match="expected distinct class names"):
        read_voc(folder, listed, tmp_path / "names")


def test_blood_cells_lose_exactly_their_two_degenerate_boxes(shared):
    devkit = shared / "datasets/bccd/BCCD"
    images, lost, objects = [], [], 0
    for split in ("train", "val", "test"):
        source = read_voc(devkit, devkit / f"ImageSets/Main/{split}.txt")
        images.append(len(source.items))
        lost += [(p.file, p.field) for p in source.problems]
        objects += sum(len(i.objects) for i in source.items)
    assert images == [205, 87, 72] and objects == 4888 - 2
    assert sorted(lost) == [("BloodImage_00338.xml", "bndbox"), ("BloodImage_00343.xml", "bndbox")]


def test_road_signs_convert_whole(shared, tmp_path):
    folder = shared / "datasets/roadsign"
    summary = convert_voc(
        folder, folder / "valid.txt", tmp_path / "out", folder / "label_list.txt", workers=1
    )
    assert summary["records"] == 176
    assert json.loads((tmp_path / "out/report.json").read_text())["problems"] == []
