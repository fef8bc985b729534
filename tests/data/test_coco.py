import json
import struct

import folders
import pytest
from PIL import Image

from kdet.data.convert.coco import convert_coco, read_coco
from kdet.errors import DataError


def test_records_hold_the_annotations(tmp_path):
    data, rle = folders.coco_data(), {"size": [20, 30], "counts": [40, 560]}
    data["annotations"] = [
        folders.annotation(41, bbox=(1.25, 2.5, 10, 5), segmentation=[[1, 2, 11, 2, 11, 7.5]]),
        folders.annotation(-4, category=2, iscrowd=1, area=2.5, segmentation=rle),
        folders.annotation(5, image=12, bbox=(8, 8, 4, 4)),
    ]
    out = tmp_path / "out"
    summary = convert_coco(*folders.write_coco(tmp_path, data), out, workers=1)
    first, second, third = folders.features(out)
    assert first["image/id"] == [7] and first["image/name"] == [b"7.png"]
    assert first["image/encoded"] == [(tmp_path / "images/7.png").read_bytes()]
    assert (first["image/height"], first["image/width"]) == ([20], [30])
    assert first["object/id"] == [41, -4] and first["object/label"] == [1, 0]
    assert struct.unpack("<8d", first["object/bbox"][0]) == (1.25, 2.5, 10, 5, 1, 2, 10, 5)
    assert struct.unpack("<2d", first["object/area"][0]) == (50, 2.5)
    assert first["object/crowd"] == [0, 1] and first["object/difficult"] == [0, 0]
    assert first["polygon/parts"] == [1, 0] and first["polygon/sizes"] == [3]
    assert first["polygon/points"] == [1, 2, 11, 2, 11, 7.5]
    assert first["rle/runs"] == [0, 2] and first["rle/lengths"] == [40, 560]
    assert second["object/id"] == [] and second["object/bbox"] == [b""]
    assert third["object/id"] == [5]
    assert summary["labels"] == {"names": ["dog", "cat"], "ids": [2, 9]}
    assert (summary["records"], summary["objects"]) == (3, 2)
    assert summary["counts"] == {
        "per_label": [0, 2],
        "crowd": 1,
        "difficult": 0,
        "empty_images": 1,
    }
    notes = json.loads((out / "report.json").read_text())["notes"]
    without_mask = "objects without masks while others have masks; mask models refuse"
    assert notes == {
        "boxes partly outside the image, clipped when read": 1,
        f"{without_mask}; the first is object 5 of image 12 (12.png)": 1,
    }


def test_missing_area_and_crowd_flag_are_filled_in(tmp_path):
    data = folders.coco_data()
    for name in ("area", "iscrowd", "segmentation"):
        del data["annotations"][0][name]
    source = read_coco(*folders.write_coco(tmp_path, data))
    assert source.items[0].objects[0].area == 50 and source.notes["annotations without area"] == 1


def change(**fields):
    return lambda data: data["annotations"][0].update(fields)


def drop(name):
    return lambda data: data["annotations"][0].pop(name)


def rle(**fields):
    return change(segmentation={"size": [20, 30], "counts": [600], **fields})


def image(**fields):
    return lambda data: data["images"][0].update(fields)


ANNOTATIONS = {
    "outside": (change(bbox=[31, 2, 4, 4]), "bbox: expected a box inside the 30 x 20 image"),
    "left": (change(bbox=[-9, 2, 4, 4]), "bbox: expected a box inside"),
    "negative": (change(bbox=[1, 2, -4, 4]), "bbox: expected a positive width and height, got -4"),
    "flat": (change(bbox=[1, 2, 4, 0]), "bbox: expected a positive width and height"),
    "nan": (change(bbox=[1, float("nan"), 4, 4]), "bbox: expected four finite numbers"),
    "infinite": (change(bbox=[1, 2, float("inf"), 4]), "bbox: expected four finite numbers"),
    "huge": (change(bbox=[1, 2, 10**400, 4]), "bbox: expected four finite numbers"),
    "three": (change(bbox=[1, 2, 3]), "bbox: expected four finite numbers, got [1, 2, 3]"),
    "text": (change(bbox="1 2 3 4"), "bbox: expected four finite numbers, got '1 2 3 4'"),
    "truth": (change(bbox=[True, 2, 3, 4]), "bbox: expected four finite numbers"),
    "no box": (drop("bbox"), "bbox: expected x, y, width, height, got nothing"),
    "area": (change(area=0), "area: expected a positive number, got 0"),
    "crowd": (change(iscrowd=2), "iscrowd: expected 0 or 1, got 2"),
    "category": (change(category_id=5), "category_id: expected the id of a category, got 5"),
    "no category": (drop("category_id"), "category_id: expected an integer, got nothing"),
    "image": (change(image_id=99), "image_id: expected the id of an image, got 99"),
    "text id": (change(image_id="7b"), "image_id: expected an integer, got '7b'"),
    "no image": (change(image_id=None), "image_id: expected an integer, got None"),
    "wide id": (change(id=2**63), "id: expected an integer"),
    "points": (change(segmentation=[[1, 2, 3, None]]), "segmentation: expected pairs of finite"),
    "odd": (change(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "segmentation: expected pairs"),
    "mask": (change(segmentation="x"), "segmentation: expected polygons or an RLE, got 'x'"),
    "mask size": (rle(size=[30, 20]), "segmentation.size: expected [20, 30], got [30, 20]"),
    "runs": (rle(counts=[600, 1]), "segmentation.counts: expected 600 pixels, got 601"),
    "minus": (rle(counts=[601, -1]), "segmentation.counts: expected run lengths"),
    "cut": (rle(counts="P"), "segmentation.counts: expected a compressed mask"),
}


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_bad_annotations_are_left_out_and_listed(tmp_path, name):
    spoil, expected = ANNOTATIONS[name]
    data = folders.coco_data()
    spoil(data)
    source = read_coco(*folders.write_coco(tmp_path, data))
    (line,) = map(str, source.problems)
    assert line.startswith("truth.json: annotation") and expected in line and "\n" not in line
    assert [o.id for i in source.items for o in i.objects] == [3, 2]


def test_repeated_annotation_id(tmp_path):
    data = folders.coco_data()
    data["annotations"][1]["id"] = 1
    (problem,) = read_coco(*folders.write_coco(tmp_path, data)).problems
    assert str(problem) == (
        "truth.json: annotation 1 of image 3: id: expected distinct ids, got 1 again"
    )


IMAGES = {
    "no height": (lambda d: d["images"][0].pop("height"), "image 7: height: expected an integer"),
    "zero": (image(width=0), "image 7: width: expected a positive number of pixels, got 0"),
    "text": (image(width="30"), "image 7: width: expected an integer, got '30'"),
    "no name": (lambda d: d["images"][0].pop("file_name"), "image 7: file_name: expected a text"),
    "outside": (image(file_name="../7.png"), "file_name: expected a path inside the image folder"),
    "no id": (lambda d: d["images"].insert(0, {"height": 1}), "images[0]: id: expected an integer"),
    "twice": (lambda d: d["images"].append(d["images"][0]), "id: expected distinct ids, got 7"),
    "size": (
        image(width=31),
        "7.png: image 7: expected the annotated size 31 x 20, got an image",
    ),
    "missing": (image(file_name="8.png"), "8.png: image 7: no such file or directory"),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("strict", [False, True])
def test_bad_images_are_left_out_and_listed(tmp_path, name, strict):
    spoil, expected = IMAGES[name]
    data = folders.coco_data()
    spoil(data)
    paths, out = folders.write_coco(tmp_path, data), tmp_path / "out"
    if strict:
        with pytest.raises(DataError, match="^nothing was written: "):
            convert_coco(*paths, out, strict=True, workers=1)
        assert not out.exists()
        return
    convert_coco(*paths, out, workers=1)
    (line,) = folders.report(out)
    assert expected in line and "\n" not in line
    assert len(folders.features(out)) == (3 if name in ("twice", "no id") else 2)


def damage(kind):
    def spoil(path):
        content = path.read_bytes()
        if kind == "truncated":
            path.write_bytes(content[: len(content) // 2])
        elif kind == "changed":  # one bit of the pixel data
            middle = len(content) // 2
            path.write_bytes(
                content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
            )
        elif kind == "gif":
            Image.new("P", (30, 20)).save(path, "GIF")
        elif kind == "empty":
            path.write_bytes(b"")
        else:
            picture = Image.fromarray(folders.pixels(20, 30))
            picture.save(path, "JPEG")
            path.write_bytes(path.read_bytes()[:-200])

    return spoil


@pytest.mark.parametrize("kind", ["truncated", "changed", "gif", "empty", "jpeg"])
def test_damaged_images_are_found(tmp_path, kind):
    paths, out = folders.write_coco(tmp_path, folders.coco_data()), tmp_path / "out"
    damage(kind)(tmp_path / "images/7.png")
    summary = convert_coco(*paths, out, workers=1)
    (line,) = folders.report(out)
    assert line.startswith("7.png: image 7: ") and "\n" not in line
    assert ("damaged" in line) == (kind not in ("gif", "empty"))
    assert summary["records"] == 2 and summary["objects"] == 1


def without(name):
    return lambda data: data.pop(name)


FILES = {
    "no images": (without("images"), "images: expected a list, got only annotations, categories"),
    "no annotations": (without("annotations"), "annotations: expected a list"),
    "no categories": (without("categories"), "categories: expected a list"),
    "annotations": (lambda d: d.update(annotations={}), "annotations: expected a list, got {}"),
    "empty": (lambda d: d.update(categories=[]), "categories: expected at least one"),
    "no name": (lambda d: d.update(categories=[{"id": 1}]), r"categories\[0\].name: expected a t"),
    "twice": (
        lambda d: d.update(categories=folders.CATEGORIES * 2),
        "categories: id: expected distinct ids, got 2 twice",
    ),
    "none left": (lambda d: d.update(images=[]), "expected at least one usable image"),
    "fractions": (
        lambda d: [a.update(bbox=[0.1, 0.2, 0.5, 0.25]) for a in d["annotations"]],
        "bbox: expected pixels, but every box lies within 0..1",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_not_coco(tmp_path, name):
    spoil, expected = FILES[name]
    data = folders.coco_data()
    spoil(data)
    with pytest.raises(DataError, match=f"^[^\n]*truth.json: {expected}[^\n]*$"):
        convert_coco(*folders.write_coco(tmp_path, data), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "[" * 100_000, "\x00\xff"])
def test_files_that_are_not_json(tmp_path, text):
    with pytest.raises(DataError, match=r"^[^\n]*truth.json: expected a COCO json [^\n]*$"):
        read_coco(*folders.write_coco(tmp_path, text))


def test_missing_paths(tmp_path):
    with pytest.raises(DataError, match="expected a folder of images"):
        read_coco(tmp_path / "truth.json", tmp_path / "images")
    with pytest.raises(DataError, match=r"truth.json: no such file or directory$"):
        read_coco(tmp_path / "truth.json", tmp_path)


def test_real_coco_keeps_everything(shared, tmp_path):
    from pycocotools.coco import COCO

    folder = shared / "datasets/coco_mini"
    path = folder / "annotations/instances_val2017.json"
    source = read_coco(path, folder / "val2017")
    truth = COCO(str(path))
    assert not source.problems and len(source.items) == 206
    objects = {o.id: o for i in source.items for o in i.objects}
    assert objects.keys() == truth.anns.keys()
    for key, thing in objects.items():
        wanted = truth.anns[key]
        assert list(thing.bbox) == wanted["bbox"] and thing.area == wanted["area"]
        assert thing.crowd == wanted["iscrowd"] == (len(thing.runs) > 0)
        assert source.labels.ids[thing.label] == wanted["category_id"]
