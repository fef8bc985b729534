"""The hand-made animals as annotations, as a data set, and as a detector that knows them."""

import json

import pytest
from animals import DETECTIONS, NAMES, OBJECTS, SIZES, rows_with, truth_with
from PIL import Image


@pytest.fixture(scope="session")
def one_of_each():
    """COCO json form and result rows."""
    return truth_with(OBJECTS), rows_with(DETECTIONS)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The same data as a converted data set val/, with a data set train/ beside it."""
    from kdet.data.convert.coco import convert_coco

    place = tmp_path_factory.mktemp("animals")
    truth = truth_with(OBJECTS)
    (place / "images").mkdir()
    for image in truth["images"]:
        picture = Image.new("RGB", (image["width"], image["height"]), (200, 220, 240))
        picture.save(place / "images" / image["file_name"])
    (place / "truth.json").write_text(json.dumps(truth))
    for split in ("val", "train"):
        out = place / "records" / split
        convert_coco(place / "truth.json", place / "images", out, shards=1, workers=1)
    return place / "records"


@pytest.fixture(scope="session")
def detector():
    """Knows an image by its size, and detects what DETECTIONS has for it."""
    import numpy as np

    from kdet.config import Data, LabelMap

    def detect(inputs):
        size = tuple(np.asarray(inputs["original_size"])[0].astype(int).tolist())
        mine = [d for d in DETECTIONS if SIZES[d[0]] == size]
        boxes, scores = np.zeros((1, 8, 4), np.float32), np.zeros((1, 8), np.float32)
        labels = np.zeros((1, 8), np.int32)
        for k, (_, label, (x, y, w, h), score) in enumerate(mine):
            boxes[0, k], scores[0, k], labels[0, k] = (x, y, x + w, y + h), score, label
        valid = np.arange(8)[None] < len(mine)
        return {"boxes": boxes, "scores": scores, "labels": labels, "valid": valid}

    detect.data = Data(short_side=64, long_side=96, pad_to=32)
    detect.labels = LabelMap(NAMES, (5, 9))
    return detect
