"""Truth rebuilt from records is what was annotated."""

import json

import pytest

from kdet.data.records import Records
from kdet.errors import DataError
from kdet.evaluate.coco import NAMES, evaluate_coco
from kdet.evaluate.truth import truth_of


def keyed(rows, *fields):
    return {row["id"]: {f: row[f] for f in fields} for row in rows}


FIELDS = ("image_id", "category_id", "bbox", "area", "iscrowd")


def test_truth_is_exactly_what_was_annotated(annotated, folder):
    truth = truth_of(folder)
    assert truth["categories"] == annotated["categories"]
    image_fields = ("file_name", "height", "width")
    assert keyed(truth["images"], *image_fields) == keyed(annotated["images"], *image_fields)
    assert keyed(truth["annotations"], *FIELDS) == keyed(annotated["annotations"], *FIELDS)
    assert truth_of(Records.open(folder)) == truth
    assert "segmentation" not in truth["annotations"][0]


def test_masks_come_back_exactly(annotated, folder):
    truth = truth_of(folder, masks=True)
    assert keyed(truth["annotations"], "segmentation") == (
        keyed(annotated["annotations"], "segmentation")
    )


def test_no_data_set(tmp_path):
    with pytest.raises(DataError, match="dataset.json"):
        truth_of(tmp_path)


def test_real_masks_score_the_same_from_records(shared, tmp_path):
    """Perfect and perturbed masks score the same against the json and against its records."""
    from pycocotools import mask

    from kdet.data.convert.coco import convert_coco

    coco = shared / "datasets/coco_mini"
    annotations = coco / "annotations/instances_val2017.json"
    convert_coco(annotations, coco / "val2017", tmp_path / "shards", shards=1, workers=1)
    json_truth = json.loads(annotations.read_text())
    records_truth = truth_of(tmp_path / "shards", masks=True)
    assert keyed(records_truth["annotations"], *FIELDS) == (
        keyed(json_truth["annotations"], *FIELDS)
    )
    sizes = {i["id"]: (i["height"], i["width"]) for i in json_truth["images"]}
    rows = []
    for number, a in enumerate(json_truth["annotations"]):
        if a["iscrowd"]:
            continue
        moved = [[v + number % 4 for v in polygon] for polygon in a["segmentation"]]
        rle = mask.merge(mask.frPyObjects(moved, *sizes[a["image_id"]]))
        x, y, w, h = a["bbox"]
        row = {"image_id": a["image_id"], "category_id": a["category_id"], "segmentation": rle}
        rows.append({**row, "bbox": [x + number % 4, y, w, h], "score": 1 / (1 + number)})
    for iou_type in ("bbox", "segm"):
        ours, theirs = (
            evaluate_coco(truth, rows, list(sizes), iou_type)
            for truth in (records_truth, json_truth)
        )
        assert ours == theirs
        assert 0.3 < ours["AP"] < 1
        assert all(0 <= ours[n] <= 1 for n in NAMES)
