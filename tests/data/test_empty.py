"""Data sets with nothing to train on, and what is said about dense or maskless ones."""

import json

import folders
import pytest
from PIL import Image

from kdet.cli import main
from kdet.data.convert.coco import convert_coco
from kdet.data.convert.synthetic import make_synthetic
from kdet.data.convert.voc import convert_voc
from kdet.data.records import Records
from kdet.errors import DataError


def each(**changes):
    return lambda data: [a.update(changes) for a in data["annotations"]]


NOTHING = {
    "crowds": (each(iscrowd=1), "got 3 annotations, all of them crowds"),
    "ignored": (each(ignore="1"), "got 3 annotations, all of them crowds, ignored or too small"),
    "unusable": (each(bbox=[90, 90, 4, 4]), "got 3 annotations, none of them usable; first pro"),
    "slivers": (each(bbox=[-9, -9, 9.5, 12]), "all of them crowds, ignored or too small"),
    "unknown image": (each(image_id=77), "none of them usable; first problem: truth.json: annot"),
}


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("allow_empty", [False, True])
def test_without_an_object_to_train_on_nothing_is_written(tmp_path, name, allow_empty):
    spoil, expected = NOTHING[name]
    data = folders.coco_data()
    spoil(data)
    paths = folders.write_coco(tmp_path, data)
    with pytest.raises(DataError, match=f"^truth.json: expected at least one obj.*{expected}"):
        convert_coco(*paths, tmp_path / "out", workers=1, allow_empty=allow_empty)
    assert not (tmp_path / "out").exists()


def test_objects_of_damaged_images_do_not_count(tmp_path):
    """Found only when the images are read: what was written until then is removed."""
    data = folders.coco_data()
    paths = folders.write_coco(tmp_path, data)
    for number in (7, 3):  # image 12 is whole and has no objects
        (tmp_path / f"images/{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of them usable; first problem: 7.png: image 7: exp"):
        convert_coco(*paths, tmp_path / "out", shards=2, workers=1)
    assert not (tmp_path / "out").exists()


def test_an_unannotated_split_must_be_meant(tmp_path):
    data = folders.coco_data()
    data["annotations"] = []
    paths = folders.write_coco(tmp_path, data)
    with pytest.raises(DataError, match=r"nothing is annotated; .* use --allow-empty"):
        convert_coco(*paths, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    summary = convert_coco(*paths, tmp_path / "out", workers=1, allow_empty=True)
    assert (summary["records"], summary["objects"]) == (3, 0)
    assert len(Records.open(tmp_path / "out")) == 3


def test_an_unannotated_voc_split_needs_its_class_names(tmp_path):
    size = "<annotation><size><width>30</width><height>20</height></size></annotation>"
    folder, listed = folders.write_voc(tmp_path / "voc", size)
    (folder / "Annotations/two.xml").write_text(size)
    (tmp_path / "names").write_text("cat\n")
    with pytest.raises(DataError, match=r"expected at least one named object .*\(--labels\)"):
        convert_voc(folder, listed, tmp_path / "out", allow_empty=True)
    with pytest.raises(DataError, match="nothing is annotated"):
        convert_voc(folder, listed, tmp_path / "out", tmp_path / "names")
    done = convert_voc(folder, listed, tmp_path / "out", tmp_path / "names", allow_empty=True)
    assert done["counts"]["empty_images"] == 2


def test_the_command_has_exit_code_1_and_the_flag(tmp_path, capsys):
    data = folders.coco_data()
    data["annotations"] = []
    path, images = folders.write_coco(tmp_path, data)
    command = ["convert", "coco", "--annotations", str(path), "--images", str(images)]
    command += ["--out", str(tmp_path / "out")]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("kdet convert: truth.json: expected at least one") and "\n" == said[-1]
    assert said.count("\n") == 1 and not (tmp_path / "out").exists()
    assert main([*command, "--allow-empty"]) == 0


def test_a_synthetic_image_may_be_empty(tmp_path):
    for seed in range(40):  # about one in sixteen is
        made = make_synthetic(tmp_path / str(seed), 1, seed, size=(32, 32))
        if not made["objects"]:
            return
    raise AssertionError("no empty image")


def notes_of(tmp_path, data):
    convert_coco(*folders.write_coco(tmp_path / "in", data), tmp_path / "out", workers=1)
    return json.loads((tmp_path / "out/report.json").read_text())["notes"]


def only(notes, words):
    ((note, count),) = ((n, c) for n, c in notes.items() if words in n)
    return note, count


@pytest.mark.parametrize("count", [100, 101, 300])
def test_dense_images_are_noted(tmp_path, count):
    data = folders.coco_data()
    data["annotations"] = [folders.annotation(k, bbox=(k % 9, 1, 5, 5)) for k in range(count)]
    data["annotations"] += [folders.annotation(900 + k, iscrowd=1) for k in range(9)]
    notes = notes_of(tmp_path, data)
    if count == 100:
        assert not any("100 objects" in note for note in notes)
        return
    note, images = only(notes, "more than 100 objects")
    assert images == 1 and f"7.png (image 7) with {count}" in note and "data.max_boxes" in note


SQUARE = [[2, 2, 8, 2, 8, 8, 2, 8]]


def test_missing_masks_are_noted(tmp_path):
    data = folders.coco_data()
    data["annotations"][1]["segmentation"] = SQUARE
    note, count = only(notes_of(tmp_path, data), "objects without masks while others")
    assert count == 2 and note.endswith("the first is object 1 of image 7 (7.png)")


def test_data_without_any_mask_has_no_such_note(tmp_path):
    assert notes_of(tmp_path, folders.coco_data()) == {}


EMPTY = {
    "run lengths": {"size": [20, 30], "counts": [600]},
    "compressed": {"size": [20, 30], "counts": "hb0"},
    "line": [[2, 2, 9, 9, 2, 2]],
    "outside": [[40, 2, 48, 2, 48, 8, 40, 8]],
    "left of it": [[-40, 2, -48, 2, -48, 8, -40, 8]],
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_masks_are_noted(tmp_path, name):
    data = folders.coco_data()
    for annotation in data["annotations"]:
        annotation["segmentation"] = SQUARE
    data["annotations"][2]["segmentation"] = EMPTY[name]
    note, count = only(notes_of(tmp_path, data), "objects whose mask covers no pixel")
    assert count == 1 and note.endswith("the first is object 3 of image 7 (7.png)")


def test_small_and_border_masks_are_not_called_empty(tmp_path):
    data = folders.coco_data()
    masks = ([[2, 2, 3, 2, 3, 3, 2, 3]], SQUARE, [[29, 2, 33, 2, 33, 8, 29, 8]])
    for annotation, mask in zip(data["annotations"], masks):
        annotation["segmentation"] = mask
    assert not any("covers no pixel" in note for note in notes_of(tmp_path, data))


def test_a_folder_that_is_there_keeps_its_other_files(tmp_path):
    data = folders.coco_data()
    paths, out = folders.write_coco(tmp_path, data), tmp_path / "out"
    out.mkdir()
    Image.new("RGB", (4, 4)).save(out / "mine.png")
    data["annotations"] = []
    paths[0].write_text(json.dumps(data))
    with pytest.raises(DataError):
        convert_coco(*paths, out)
    assert [p.name for p in out.iterdir()] == ["mine.png"]
