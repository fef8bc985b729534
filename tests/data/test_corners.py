"""A box that leaves the image ends at its border: for training, evaluation and the report alike."""

import json

import folders
import numpy as np
import pytest

from kdet.data.convert.boxes import CLIPPED, clip_box, is_trainable
from kdet.data.convert.coco import convert_coco
from kdet.data.convert.voc import convert_voc
from kdet.data.decode import clip_boxes, decode
from kdet.data.records import Records
from kdet.evaluate.truth import truth_of

# corners in an image of 30 x 20 (w, h) -> what is inside
OVER = {
    "left": ((-9, 4, 7, 12), (0, 4, 7, 12)),
    "top": ((4, -5, 12, 7), (4, 0, 12, 7)),
    "right": ((21, 4, 44, 12), (21, 4, 30, 12)),
    "bottom": ((4, 11, 12, 26), (4, 11, 12, 20)),
    "upper left": ((-3.5, -2.25, 8, 6), (0, 0, 8, 6)),
    "upper right": ((25, -2, 36, 6), (25, 0, 30, 6)),
    "lower left": ((-4, 13, 6, 25), (0, 13, 6, 20)),
    "lower right": ((25.5, 13, 36, 25), (25.5, 13, 30, 20)),
    "left and right": ((-6, 3, 37, 9), (0, 3, 30, 9)),
    "top and bottom": ((3, -6, 9, 27), (3, 0, 9, 20)),
    "all around": ((-1, -1, 31, 21), (0, 0, 30, 20)),
}
INSIDE = (2.25, 3.5, 11.75, 8)


def converted(tmp_path, kind, corners):
    """A data set of one image of 30 x 20 with these boxes, by their corners."""
    if kind == "coco":
        data = folders.coco_data()
        boxes = [(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in corners]
        data["annotations"] = [folders.annotation(k, bbox=b) for k, b in enumerate(boxes, 1)]
        convert_coco(*folders.write_coco(tmp_path / "in", data), tmp_path / "out", workers=1)
    else:
        names = ("xmin", "ymin", "xmax", "ymax")
        boxes = ("".join(f"<{n}>{v}</{n}>" for n, v in zip(names, c)) for c in corners)
        objects = (f"<object><name>cat</name><bndbox>{b}</bndbox></object>" for b in boxes)
        size = "<size><width>30</width><height>20</height></size>"
        paths = folders.write_voc(
            tmp_path / "in", f"<annotation>{size}{''.join(objects)}</annotation>"
        )
        convert_voc(*paths, tmp_path / "out", workers=1)
    return tmp_path / "out"


def evaluated(out):
    """The corners of the first image's boxes in the evaluation's truth, and their areas."""
    truth = truth_of(out)
    rows = [a for a in truth["annotations"] if a["image_id"] == truth["images"][0]["id"]]
    boxes = np.array([a["bbox"] for a in rows])
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), [a["area"] for a in rows]


@pytest.mark.parametrize("name", OVER)
@pytest.mark.parametrize("kind", ["coco", "voc"])
def test_training_and_evaluation_have_the_same_corners(tmp_path, kind, name):
    corners, expected = OVER[name]
    out = converted(tmp_path, kind, [corners, INSIDE])
    trained = decode(Records.open(out).read(0))["boxes"].numpy()
    np.testing.assert_array_equal(trained, np.float32([expected, INSIDE]))
    np.testing.assert_allclose(evaluated(out)[0], [expected, INSIDE], rtol=0, atol=1e-12)
    notes = json.loads((out / "report.json").read_text())["notes"]
    assert notes[CLIPPED] == 1


def test_a_voc_area_is_that_of_the_part_inside(tmp_path):
    out = converted(tmp_path, "voc", [(-9, 4, 7, 12), INSIDE])
    assert evaluated(out)[1] == [7 * 8, 9.5 * 4.5]


def test_coco_boxes_inside_are_evaluated_exactly_as_annotated(tmp_path):
    data = folders.coco_data()
    boxes = [[19.1, 2.3, 10.9, 5.7], [0.1, 0.2, 0.3, 0.7], [29.3, 19.1, 0.7, 0.9]]
    assert 29.3 + 0.7 >= 30  # the last ones reach the border, but for rounding
    data["annotations"] = [folders.annotation(k, bbox=b) for k, b in enumerate(boxes, 1)]
    convert_coco(*folders.write_coco(tmp_path / "in", data), tmp_path / "out", workers=1)
    assert [a["bbox"] for a in truth_of(tmp_path / "out")["annotations"]] == boxes
    assert CLIPPED not in json.loads((tmp_path / "out/report.json").read_text())["notes"]


@pytest.mark.parametrize("kind", ["coco", "voc"])
def test_slivers_are_reported_with_image_and_object(tmp_path, kind):
    out = converted(tmp_path, kind, [INSIDE, (-9, 4, 0.5, 12), (29.75, 4, 44, 12)])
    assert len(decode(Records.open(out).read(0))["boxes"]) == 1
    assert len(evaluated(out)[0]) == 3
    notes = json.loads((out / "report.json").read_text())["notes"]
    ((note, count),) = ((n, c) for n, c in notes.items() if "less than a pixel" in n)
    assert count == 2 and "the first is object 2 of image" in note


def test_all_rules_agree_on_random_boxes():
    random = np.random.default_rng(0)
    boxes = np.hstack([random.uniform(-30, 40, (4000, 2)), random.uniform(0.01, 50, (4000, 2))])
    boxes[::3, 2:] = random.uniform(0.01, 1.5, (len(boxes[::3]), 2))
    corners, keep = (value.numpy() for value in clip_boxes(boxes, 20, 30))
    for box, corner, kept in zip(boxes.tolist(), corners, keep):
        assert is_trainable(box, 20, 30) == kept
        if kept and min(box[2:]) >= 1:
            x, y, w, h = clip_box(box, 20, 30)
            np.testing.assert_allclose(corner, [x, y, x + w, y + h], atol=1e-5)
