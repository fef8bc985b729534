"""Known fields with a meaning: ids, flags and marks in all the forms in which they are written."""

import json
from collections import Counter

import folders
import pytest

from kdet.data.convert.coco import convert_coco, read_coco
from kdet.data.convert.fields import FieldError, Ids, flag
from kdet.data.convert.marks import IGNORED, ROTATED, marks
from kdet.data.convert.voc import convert_voc, read_voc
from kdet.data.decode import decode
from kdet.data.records import Records
from kdet.evaluate.truth import truth_of

ZERO = [0, 0.0, False, None, "0", " 0 ", "0.0", "false", "False", "no"]
ONE = [1, 1.0, True, "1", "1.0", "true", "TRUE", "yes"]
UNSAID = ["", " ", "Unspecified", "unknown", "None", "null", "n/a"]
WRONG = [2, -1, 0.5, "2", "maybe", [1], {"a": 1}, float("nan")]


@pytest.mark.parametrize("value", [*ZERO, *ONE, *UNSAID], ids=repr)
@pytest.mark.parametrize("name", ["iscrowd", "ignore"])
def test_crowd_and_ignore_flags_of_every_form(tmp_path, name, value):
    data = folders.coco_data()
    data["annotations"][0][name] = value
    source = read_coco(*folders.write_coco(tmp_path, data))
    assert source.problems == []
    assert source.items[0].objects[0].crowd == (value in ONE and value not in ZERO)
    words = [n for n in source.notes if name in n and "Unspecified" in n]
    assert bool(words) == (value in UNSAID)


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize("name", ["iscrowd", "ignore", "difficult"])
def test_flags_without_a_clear_meaning_are_listed(tmp_path, name, value):
    data = folders.coco_data()
    data["annotations"][0][name] = value
    (problem,) = read_coco(*folders.write_coco(tmp_path, data)).problems
    assert problem.field == name and problem.message.startswith("expected 0 or 1, got ")
    assert problem.where == "annotation 1 of image 7"


def test_ignored_objects_are_neither_trained_on_nor_counted(tmp_path):
    data = folders.coco_data()
    data["annotations"][0]["ignore"] = 1
    data["annotations"][1]["attributes"] = {"ignore": "true"}
    convert_coco(*folders.write_coco(tmp_path, data), tmp_path / "out", workers=1)
    notes = json.loads((tmp_path / "out/report.json").read_text())["notes"]
    assert notes[IGNORED] == 2
    example = decode(Records.open(tmp_path / "out").read(0))
    assert example["crowd"].numpy().tolist() == [True, False]
    truth = truth_of(tmp_path / "out")["annotations"]
    assert {a["id"]: a["iscrowd"] for a in truth} == {1: 1, 3: 0, 2: 1}


def voc(tmp_path, inner):
    """A VOC folder whose first object of the first image holds `inner`."""
    text = folders.VOC.replace("<difficult>1</difficult>", inner)
    return folders.write_voc(tmp_path / "voc", text)


DIFFICULT = {
    "<difficult/>": 0,
    "<difficult></difficult>": 0,
    "<difficult> </difficult>": 0,
    "<difficult>Unspecified</difficult>": 0,
    "<difficult>unknown</difficult>": 0,
    "<difficult>0</difficult>": 0,
    "<difficult>false</difficult>": 0,
    "": 0,
    "<difficult>1</difficult>": 1,
    "<difficult>1.0</difficult>": 1,
    "<difficult>True</difficult>": 1,
    "<difficult>\n 1\n</difficult>": 1,
}


@pytest.mark.parametrize("inner", DIFFICULT)
def test_difficult_of_every_form(tmp_path, inner):
    source = read_voc(*voc(tmp_path, inner))
    assert source.problems == [] and source.items[0].objects[0].difficult == DIFFICULT[inner]
    said = "/" in inner and not any(word in inner for word in ("0", "1", "alse", "rue"))
    assert any("difficult is empty or a word" in note for note in source.notes) == said


def test_voc_ignore_is_a_crowd(tmp_path):
    convert_voc(*voc(tmp_path, "<ignore>1</ignore>"), tmp_path / "out", workers=1)
    assert folders.features(tmp_path / "out")[0]["object/crowd"] == [1, 0]


ORDINARY = [
    ({"occluded": 1}, "occluded"),
    ({"occluded": True}, "occluded"),
    ({"truncated": "1"}, "truncated"),
    ({"truncated": 0.35}, "truncated"),
    ({"occluded": "partially"}, "occluded"),
    ({"attributes": {"occluded": True}}, "occluded"),
    ({"attributes": {"truncated": "true"}}, "truncated"),
]


@pytest.mark.parametrize(("fields", "name"), ORDINARY, ids=str)
def test_occluded_and_truncated_objects_are_ordinary_and_counted(tmp_path, fields, name):
    data = folders.coco_data()
    for annotation in data["annotations"][:2]:
        annotation.update(fields)
    source = read_coco(*folders.write_coco(tmp_path, data))
    assert source.notes == {f"objects marked {name}, used like all others": 2}
    assert all(o.crowd == o.difficult == 0 for i in source.items for o in i.objects)


UNMARKED = [
    {"occluded": 0, "truncated": False},
    {"occluded": "Unspecified", "truncated": "0"},
    {"attributes": {"occluded": False, "rotation": 0.0}},
    {"attributes": {"rotation": 360}},
    {"attributes": "none"},
    {"attributes": []},
    {"ignore": 0, "difficult": 0},
]


@pytest.mark.parametrize("fields", UNMARKED, ids=str)
def test_marks_that_are_not_set_say_nothing(fields):
    notes = Counter()
    assert marks(fields, notes) == (0, 0) and not notes


@pytest.mark.parametrize(
    "fields",
    [{"attributes": {"rotation": 90.0}}, {"attributes": {"rotation": "-12.5"}}, {"angle": 30}],
    ids=str,
)
def test_rotated_boxes_are_noted(tmp_path, fields):
    data = folders.coco_data()
    data["annotations"][0].update(fields)
    assert read_coco(*folders.write_coco(tmp_path, data)).notes == {ROTATED: 1}


def test_rotated_and_occluded_voc_objects_of_cvat(tmp_path):
    attribute = "<attribute><name>rotation</name><value>45.0</value></attribute>"
    inner = f"<occluded>1</occluded><attributes>{attribute}</attributes>"
    notes = read_voc(*voc(tmp_path, inner)).notes
    assert notes == {ROTATED: 1, "objects marked occluded, used like all others": 1}


def test_difficult_in_coco_is_kept(tmp_path):
    data = folders.coco_data()
    data["annotations"][0]["difficult"] = 1
    summary = convert_coco(*folders.write_coco(tmp_path, data), tmp_path / "out", workers=1)
    assert summary["counts"]["difficult"] == 1


NUMBERS = [-1, 0, 2**62, -(2**63), 2**63 - 1]


@pytest.mark.parametrize("number", NUMBERS)
def test_image_ids_of_all_64_bits(tmp_path, number):
    data = folders.coco_data()
    data["images"][0]["id"] = number
    for annotation in data["annotations"]:
        annotation["image_id"] = number if annotation["image_id"] == 7 else annotation["image_id"]
    convert_coco(*folders.write_coco(tmp_path, data), tmp_path / "out", workers=1)
    records = Records.open(tmp_path / "out")
    assert folders.report(tmp_path / "out") == [] and records.image_ids[0] == number
    assert int(decode(records.read(0))["image_id"]) == number
    truth = truth_of(records)
    assert truth["images"][0]["id"] == number
    assert sum(a["image_id"] == number for a in truth["annotations"]) == 2


def renamed(data, images=str, annotations=str, categories=str):
    """COCO data with its ids and references written in another form."""
    for image in data["images"]:
        image["id"] = images(image["id"])
    data["categories"] = [{**c, "id": categories(c["id"])} for c in data["categories"]]
    for a in data["annotations"]:
        a["id"], a["image_id"] = annotations(a["id"]), images(a["image_id"])
        a["category_id"] = categories(a["category_id"])
    return data


SAME = {
    "texts": str,
    "padded": lambda i: f"{i:012d}",
    "decimals": float,
    "spaces": lambda i: f" {i} ",
}


@pytest.mark.parametrize("form", SAME)
def test_ids_that_mean_integers(tmp_path, form):
    data = renamed(folders.coco_data(), *[SAME[form]] * 3)
    found = read_coco(*folders.write_coco(tmp_path / "a", data))
    plain = read_coco(*folders.write_coco(tmp_path / "b", folders.coco_data()))
    assert (found.problems, found.notes, found.labels) == ([], {}, plain.labels)
    assert [(i.id, i.objects) for i in found.items] == [(i.id, i.objects) for i in plain.items]


TEXTS = {
    "file names": lambda i: f"{i}.png",
    "hashes": lambda i: f"{i:x}" * 7 + "zz",
    "long numbers": lambda i: f"{i}" + "0" * 22,
    "words": lambda i: "abcdefghijklm"[i % 13] + "ö",
}


@pytest.mark.parametrize("form", TEXTS)
def test_other_texts_are_numbered_in_order(tmp_path, form):
    data = renamed(folders.coco_data(), TEXTS[form], TEXTS[form], TEXTS[form])
    source = read_coco(*folders.write_coco(tmp_path, data))
    assert source.problems == [] and [i.id for i in source.items] == [1, 2, 3]
    assert [i.name for i in source.items] == ["7.png", "3.png", "12.png"]
    assert [[o.id for o in i.objects] for i in source.items] == [[1, 3], [2], []]
    assert source.labels.ids == (1, 2) and source.labels.names == ("cat", "dog")
    assert source.notes == {
        "image ids that are texts, numbered in their order": 3,
        "annotation ids that are texts, numbered in their order": 3,
        "category ids that are texts, numbered in their order": 2,
    }


def test_numbers_of_texts_avoid_the_integers_in_use():
    ids = Ids([{"id": "a"}, {"id": 1}, {"id": "3"}, {"id": "b"}, {"id": "c"}, {"id": "a"}, {}, 5])
    assert [ids.find({"id": v}) for v in ("a", "b", "c", 1, "3")] == [2, 4, 5, 1, 3]
    assert ids.numbered == 3 and ids.find({"id": "d"}) is None and ids.find(7) is None
    with pytest.raises(FieldError, match="expected an integer, got 'd'"):
        ids.read({"id": "d"})


@pytest.mark.parametrize("value", [True, None, [], {}, 1.5, "", 2**63, float("inf")], ids=repr)
def test_values_that_are_no_ids(value):
    ids = Ids([{"id": value}])
    assert ids.find({"id": value}) is None and ids.numbered == 0


def test_a_missing_flag_is_0_without_a_note():
    notes = Counter()
    assert flag(None, "x", notes) == 0 and not notes
