"""The COCO metric against pycocotools itself, hand-computed cases, and bad input."""

import copy
import json
import pathlib
import re

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kdet.errors import EvaluationError
from kdet.evaluate.coco import NAMES, evaluate_coco
from kdet.files import write_json

DRAWN = pathlib.Path(__file__).parents[1] / "data_files/evaluate/drawn.json"


@pytest.fixture
def drawn():
    return json.loads(DRAWN.read_text())


def numbers(metrics):
    """The twelve numbers as pycocotools has them: -1 where one is undefined."""
    return [-1 if metrics[name] is None else metrics[name] for name in NAMES]


def ids(truth):
    return [image["id"] for image in truth["images"]]


def directly(truth, results, iou_type="bbox"):
    """The twelve numbers as a plain use of pycocotools gives them."""
    coco = COCO()
    coco.dataset = copy.deepcopy(truth)
    coco.createIndex()
    scored = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), iou_type)
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    return scored.stats


def test_hand_computed(drawn):
    """Two classes, four images; see the comments in the file's "hand" entry."""
    metrics = evaluate_coco(drawn["truth"], drawn["results"], ids(drawn["truth"]))
    assert metrics["AP50"] == pytest.approx(drawn["hand"]["AP50"], abs=1e-6)
    assert metrics["AP75"] == pytest.approx(drawn["hand"]["AP75"], abs=1e-6)
    assert metrics["AP"] == pytest.approx(drawn["hand"]["AP"], abs=1e-6)
    for name, ap in drawn["hand"]["per_class"].items():
        assert metrics["per_class"][name]["AP"] == pytest.approx(ap, abs=1e-6)
    assert metrics["per_class"]["circle"]["objects"] == 4


def test_equals_pycocotools_and_changes_nothing(drawn, capsys):
    truth, results = drawn["truth"], drawn["results"]
    before = copy.deepcopy((truth, results))
    metrics = evaluate_coco(truth, results, ids(truth))
    assert (truth, results) == before
    assert capsys.readouterr().out == ""
    np.testing.assert_allclose(numbers(metrics), directly(truth, results), atol=1e-12)


def test_masks_equal_pycocotools(drawn):
    truth, rows = drawn["truth"], []
    for annotation in truth["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    from pycocotools import mask

    for row in drawn["results"]:
        rle = mask.frPyObjects(np.array([row["bbox"]], float), 100, 100)[0]
        rows.append({**{k: row[k] for k in ("image_id", "category_id", "score")}})
        rows[-1]["segmentation"] = rle
    before = copy.deepcopy(truth)
    metrics = evaluate_coco(truth, rows, ids(truth), "segm")
    assert truth == before
    np.testing.assert_allclose(numbers(metrics), directly(truth, rows, "segm"), atol=1e-12)
    assert 0 < metrics["AP"] < 1


def test_published_fixture(shared):
    folder = shared / "datasets/cocoeval_fixture"
    truth = json.loads((folder / "gts.json").read_text())
    results = json.loads((folder / "dets.json").read_text())
    metrics = evaluate_coco(truth, results, ids(truth))
    ours = numbers(metrics)
    np.testing.assert_allclose(ours, directly(truth, results), atol=1e-6)
    text = (folder / "expected_pycocotools.txt").read_text()
    printed = {k: float(v) for k, v in re.findall(r"(A[PR]\w*)=(\d\.\d+)", text)}
    assert {n: round(metrics[n], 3) for n in NAMES} == printed
    assert np.mean([c["AP"] for c in metrics["per_class"].values() if c["AP"] is not None]) == (
        pytest.approx(metrics["AP"], abs=1e-12)
    )


def test_annotation_id_zero_is_matched():
    truth = {
        "images": [{"id": 5, "height": 50, "width": 50}],
        "categories": [{"id": 3, "name": "circle"}],
        "annotations": [
            {
                "id": 0,
                "image_id": 5,
                "category_id": 3,
                "bbox": [1, 1, 20, 20],
                "area": 400,
                "iscrowd": 0,
            }
        ],
    }
    rows = [{"image_id": 5, "category_id": 3, "bbox": [1, 1, 20, 20], "score": 0.9}]
    assert evaluate_coco(truth, rows, [5])["AP"] == pytest.approx(1.0)


def test_nothing_found_is_zero_and_no_object_is_undefined(drawn):
    truth = drawn["truth"]
    metrics = evaluate_coco(truth, [], ids(truth))
    assert metrics["AP"] == metrics["AR100"] == 0
    assert metrics["APl"] is None  # the drawn boxes are all small or medium
    empty = {**truth, "annotations": []}
    assert evaluate_coco(empty, drawn["results"], ids(truth))["AP"] is None


def test_inverted_boxes_count_as_pycocotools_counts_them(drawn):
    """The reference's inclusive corners can give a thin box a width below 0 when it is scaled."""
    truth = drawn["truth"]
    rows = [*drawn["results"], {**drawn["results"][1], "bbox": [20, 10, -0.5, 30], "score": 0.99}]
    metrics = evaluate_coco(truth, rows, ids(truth))
    np.testing.assert_allclose(numbers(metrics), directly(truth, rows), atol=1e-12)


def changed(row, **values):
    return [{**row, **values}]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"image_id": 99}, r"results have unknown images, ids: 99$"),
        ({"category_id": 4}, r"results have unknown categories, ids: 4$"),
        ({"score": float("nan")}, r"non-finite score in result rows: 0$"),
        ({"bbox": [0, 0, float("inf"), 1]}, r"non-finite bbox in result rows: 0$"),
        ({"bbox": [0, 0, 1]}, r"needs a bbox"),
    ],
)
def test_bad_rows_are_named(drawn, change, said):
    rows = changed(drawn["results"][0], **change)
    with pytest.raises(EvaluationError, match=said):
        evaluate_coco(drawn["truth"], rows, ids(drawn["truth"]))


def test_missing_duplicate_and_unknown_images_are_named(drawn):
    truth, every = drawn["truth"], ids(drawn["truth"])
    for evaluated, said in (
        (every[1:], f"not evaluated, ids: {every[0]}"),
        ([*every, every[2]], f"more than once, ids: {every[2]}"),
        ([*every, 12345], "not in the ground truth, ids: 12345"),
    ):
        with pytest.raises(EvaluationError, match=said):
            evaluate_coco(truth, drawn["results"], evaluated)
    with pytest.raises(EvaluationError, match="iou_type"):
        evaluate_coco(truth, [], every, "keypoints")


def test_results_are_written_whole(tmp_path, drawn):
    path = write_json(tmp_path / "new" / "results.json", drawn["results"])
    assert json.loads(path.read_text()) == drawn["results"]
    with pytest.raises(ValueError):
        write_json(path, [{"score": float("nan")}])
    assert json.loads(path.read_text()) == drawn["results"]
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]
