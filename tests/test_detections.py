"""The Detections type: construction, selection, COCO rows, text and picture."""

import io

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from kdet.config import LabelMap
from kdet.detections import Detections

NAMES = ("cat", "dog", "owl")


def three(**changes):
    values = {
        "boxes": [[1, 2, 11, 22], [5.5, 5, 9, 9], [0, 0, 4, 4]],
        "scores": [0.9, 0.4, 0.1],
        "labels": [2, 0, 2],
        "names": NAMES,
        "image": np.full((40, 60, 3), 128, np.uint8),
    }
    return Detections(**{**values, **changes})


def test_dtypes_length_and_text():
    found = three()
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == ("f4", "f4", "i4")
    assert len(found) == 3
    assert repr(found) == "Detections(2 owl, 1 cat; best score 0.900)"
    empty = three(boxes=[], scores=[], labels=[])
    assert empty.boxes.shape == (0, 4) and repr(empty) == "Detections(nothing found)"


def test_rows_of_masks():
    masks = np.zeros((3, 40, 60), bool)
    masks[1, 3:5, 7:9] = True
    rows = three(masks=masks).to_coco(4, LabelMap(NAMES, (5, 6, 7)))
    assert [coco.area(row["segmentation"]) for row in rows] == [0, 4, 0]
    assert "segmentation" not in three().to_coco(4, LabelMap(NAMES, (5, 6, 7)))[0]


def test_above_keeps_order_and_masks_together():
    masks = np.zeros((3, 40, 60), bool)
    masks[1] = True
    few = three(masks=masks).above(0.4)
    assert few.scores.tolist() == pytest.approx([0.9, 0.4])  # equal to the threshold stays
    assert few.labels.tolist() == [2, 0]
    assert few.masks.any(axis=(1, 2)).tolist() == [False, True]
    assert few.image is not None


def test_coco_rows():
    rows = three().to_coco(17, LabelMap(NAMES, (3, 8, 90)))
    assert rows[0] == {
        "image_id": 17,
        "category_id": 90,
        "bbox": [1, 2, 10, 20],
        "score": pytest.approx(0.9),
    }
    assert [r["category_id"] for r in rows] == [90, 3, 90]
    assert all(type(v) is float for r in rows for v in (*r["bbox"], r["score"]))
    with pytest.raises(ValueError, match=r"image 17: expected labels 0\.\.1, got 0\.\.2"):
        three().to_coco(17, LabelMap(NAMES[:2], (3, 8)))


def test_picture_shows_what_is_above_the_threshold():
    found = three(boxes=[[10, 10, 30, 30], [40, 10, 55, 30]], scores=[0.9, 0.2], labels=[0, 1])
    picture = np.asarray(found.draw()).astype(int)
    factor = picture.shape[1] // 60
    changed = np.abs(picture - 128).max(axis=2) > 40
    assert changed[20 * factor, 10 * factor] and not changed[20 * factor, 40 * factor]
    assert np.asarray(found.draw(0.1)).astype(int)[20 * factor, 40 * factor].tolist() != [128] * 3
    shown = Image.open(io.BytesIO(found._repr_png_()))
    assert (np.asarray(shown) == picture).all()


def test_without_an_image():
    found = three(image=None)
    assert found._repr_png_() is None
    with pytest.raises(ValueError, match="no image"):
        found.draw()


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"scores": [0.1]}, r"got \(3, 4\), \(1,\), \(3,\)"),
        ({"boxes": [[1, 2, 3]] * 3}, r"boxes \(n, 4\)"),
        ({"labels": [0, 1, 3]}, r"labels 0\.\.2, got 0\.\.3"),
        ({"labels": [0, 1, -1]}, r"labels 0\.\.2, got -1\.\.1"),
        ({"masks": np.zeros((2, 40, 60))}, r"one mask per box \(3\), got 2"),
    ],
)
def test_what_does_not_fit_is_said(changes, said):
    with pytest.raises(ValueError, match=said):
        three(**changes)


def test_frozen():
    with pytest.raises(AttributeError):
        three().scores = np.zeros(3)
