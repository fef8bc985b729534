"""From a detector to metrics: a detector that knows the truth, one that sees nothing, and slips."""

import json

import numpy as np
import pytest
import tensorflow as tf

from kdet.config import Data, LabelMap
from kdet.data import batches as pipelines
from kdet.data.records import Records
from kdet.errors import EvaluationError
from kdet.evaluate.coco import NAMES
from kdet.evaluate.run import evaluate, format_table, predict_all, result_rows
from kdet.evaluate.truth import has_masks, truth_of

DATA = Data(short_side=64, long_side=96, pad_to=32)


def batch_of(*ids, repeated=0):
    """An evaluation batch whose images are filled with their id; the last ones are repeated."""
    image = np.broadcast_to(np.array(ids, np.float32)[:, None, None, None], (len(ids), 8, 8, 3))
    sizes = tf.constant([[8.0, 8.0]] * len(ids))
    return {
        "image": tf.constant(image),
        "resized_size": sizes,
        "original_size": sizes,
        "image_id": tf.constant(ids, tf.int64),
        "repeated": tf.range(len(ids)) >= len(ids) - repeated,
    }


def one_box(inputs):
    """Two slots an image: a box as wide as the image's value, and an invalid one."""
    value = inputs["image"][:, 0, 0, 0]
    zero = tf.zeros_like(value)
    box = tf.stack([zero, zero, value, value], axis=-1)
    n = len(value)
    return {
        "boxes": tf.stack([box, box * np.nan], axis=1),
        "scores": tf.constant([[0.5, 0.4]] * n),
        "labels": tf.constant([[1, 0]] * n),
        "valid": tf.constant([[True, False]] * n),
    }


def test_predictions_are_keyed_by_image_and_fill_ups_are_dropped():
    found = predict_all(one_box, [batch_of(4, 9), batch_of(6, 6, repeated=1)], total=3)
    assert list(found) == [4, 9, 6]
    np.testing.assert_array_equal(found[9]["boxes"], [[0, 0, 9, 9]])
    assert found[6]["scores"].shape == (1,) and found[6]["labels"].tolist() == [1]


def test_every_legal_image_id_is_an_image():
    found = predict_all(one_box, [batch_of(-1, 0), batch_of(-(2**62), 2**62)])
    assert list(found) == [-1, 0, -(2**62), 2**62]


def test_an_image_that_comes_twice_is_an_error():
    with pytest.raises(EvaluationError, match="more than once, ids: 4"):
        predict_all(one_box, [batch_of(4, 9), batch_of(4, 5)])


def test_rows_use_the_ids_of_the_source():
    truth = {"categories": [{"id": 5, "name": "circle"}, {"id": 90, "name": "star"}]}
    found = {3: {"boxes": np.float32([[1, 2, 4, 8]]), "scores": [0.25], "labels": [1]}}
    assert result_rows(found, truth) == [
        {"image_id": 3, "category_id": 90, "bbox": [1, 2, 3, 6], "score": 0.25}
    ]
    for label in (2, -1):
        found[3]["labels"] = [label]
        with pytest.raises(EvaluationError, match=r"image 3: expected labels 0\.\.1"):
            result_rows(found, truth)


def oracle(folder):
    """A detector that finds everything: it knows an image by its grey level (see `folder`)."""
    truth = truth_of(folder)
    labels = {c["id"]: k for k, c in enumerate(truth["categories"])}
    levels = {i["id"]: (i["id"] / 255 - DATA.mean[0]) / DATA.std[0] for i in truth["images"]}
    seen = []

    def detect(inputs):
        out = {"boxes": [], "scores": [], "labels": [], "valid": []}
        for image in inputs["image"].numpy():
            image_id = min(levels, key=lambda i: abs(levels[i] - image[2, 2, 0]))
            seen.append(image_id)
            mine = [
                a for a in truth["annotations"] if a["image_id"] == image_id and not a["iscrowd"]
            ]
            boxes = np.zeros((4, 4), np.float32)
            for k, a in enumerate(mine):
                x, y, w, h = a["bbox"]
                boxes[k] = x, y, x + w, y + h
            padding = [0] * (4 - len(mine))
            out["boxes"].append(boxes)
            out["scores"].append([0.9] * len(mine) + padding)
            out["labels"].append([labels[a["category_id"]] for a in mine] + padding)
            out["valid"].append([True] * len(mine) + [False] * len(padding))
        return {k: tf.constant(v) for k, v in out.items()}

    detect.seen = seen
    return detect


def nothing(inputs):
    n = len(inputs["image"])
    return {
        "boxes": np.zeros((n, 3, 4), np.float32),
        "scores": np.zeros((n, 3), np.float32),
        "labels": np.zeros((n, 3), np.int32),
        "valid": np.zeros((n, 3), bool),
    }


@pytest.mark.parametrize("batch", [1, 2])
def test_a_perfect_detector_scores_one(folder, tmp_path, batch):
    detect = oracle(folder)
    out = tmp_path / "results.json"
    metrics = evaluate(detect, folder, DATA, batch, out=out)
    assert metrics["AP"] == pytest.approx(1.0)
    assert {*detect.seen} == {7, 9, 21, 30, 44}
    assert len(json.loads(out.read_text())) == 6
    voc = evaluate(detect, Records.open(folder), DATA, batch, metric="voc")
    assert voc["mAP_11point"] == pytest.approx(1.0)


def test_boxes_and_masks_are_judged_in_one_pass(folder, tmp_path):
    """The truth's masks are filled boxes, which masks of ones fill but for the rim."""
    boxes, calls = oracle(folder), []

    def detect(inputs):
        calls.append(1)
        found = boxes(inputs)
        return {**found, "masks": tf.ones((*found["scores"].shape, 28, 28))}

    detect.draws_masks = True
    out = tmp_path / "results.json"
    metrics = evaluate(detect, folder, DATA, 2, out=out)
    assert len(calls) == len(boxes.seen) / 2  # every image once, in batches of two
    assert metrics["AP"] == pytest.approx(1.0) and metrics["mask_AP50"] == pytest.approx(1.0)
    assert 0.8 < metrics["mask_AP"] < 1.0
    assert list(metrics["per_class"]["star"]) == ["AP", "AP50", "mask_AP", "mask_AP50", "objects"]
    rows = json.loads(out.read_text())
    assert len(rows) == 6 and set(rows[0]["segmentation"]) == {"size", "counts"}
    assert "mask AP50" in format_table(metrics)
    assert "mask_AP" not in evaluate(detect, folder, DATA, 2, metric="voc")
    detect.draws_masks = False  # rows may hold masks that nobody judges
    assert "mask_AP" not in evaluate(detect, folder, DATA, 2)


def test_masks_on_data_without_masks(annotated):
    truth = {**annotated, "annotations": [dict(a) for a in annotated["annotations"]]}
    assert has_masks(truth)
    del truth["annotations"][2]["segmentation"]
    with pytest.raises(EvaluationError, match="masks and others have none, annotation ids: 502$"):
        has_masks(truth)
    for annotation in truth["annotations"]:
        annotation.pop("segmentation", None)
    assert not has_masks(truth)


@pytest.mark.parametrize("metric, name", [("coco", "AP"), ("voc", "mAP_area")])
def test_a_blind_detector_scores_zero(folder, metric, name):
    assert evaluate(nothing, folder, DATA, 2, metric)[name] == 0


@pytest.mark.parametrize(
    "names, said",
    [
        (("circle", "square"), "detector has 2 classes, the data set 3"),
        (("circle", "star", "square"), "label 1 is 'star' in the detector, 'square' in the data"),
        (("circle", "square", "star"), None),
        (("0", "1", "2"), None),
    ],
)
def test_labels_must_mean_the_same_to_both(folder, names, said):
    def detector(inputs):
        return nothing(inputs)

    detector.labels = LabelMap(names, tuple(range(len(names))))
    if said is None:
        assert evaluate(detector, folder, DATA, 2)["AP"] == 0
    else:
        with pytest.raises(EvaluationError, match=said):
            evaluate(detector, folder, DATA, 2)


def test_an_image_left_out_is_an_error(folder, monkeypatch):
    """What counts is the truth, not what the input happened to deliver."""

    whole = pipelines.eval_batches
    monkeypatch.setattr(pipelines, "eval_batches", lambda *a: whole(*a).skip(1))
    with pytest.raises(EvaluationError, match=r"were not evaluated, ids: \d+$"):
        evaluate(nothing, folder, DATA, 1)


def test_unknown_metric(folder):
    with pytest.raises(EvaluationError, match="coco, voc; got 'map'"):
        evaluate(nothing, folder, DATA, metric="map")


def coco_metrics(ap, start=""):
    """Twelve metrics that differ: AP, AP + 0.01, ..."""
    return {start + name: ap + 0.01 * k for k, name in enumerate(NAMES)}


def test_table_of_coco():
    metrics = {
        **coco_metrics(0.4),
        "APs": None,
        "per_class": {
            "cat": {"AP": 0.5, "AP50": 1.0, "objects": 3},
            "traffic light": {"AP": None, "AP50": None, "objects": 0},
        },
    }
    assert format_table(metrics).splitlines() == [
        "AP 40.0  AP50 41.0  AP75 42.0",
        "AP by size of objects: small undefined, medium 44.0, large 45.0; "
        "AR 48.0 with 100 detections per image",
        "",
        "class             AP   AP50  objects",
        "cat             50.0  100.0        3",
        "traffic light      -      -        0",
    ]
    assert format_table(metrics, ["cat"]).splitlines()[-1].startswith("cat  ")
    assert len(format_table(metrics, columns=2).splitlines()) == 5


def test_table_of_masks():
    cat = {"AP": 0.5, "AP50": 1.0, "mask_AP": 0.25, "mask_AP50": None, "objects": 3}
    metrics = {**coco_metrics(0.4), **coco_metrics(0.6, "mask_"), "per_class": {"cat": cat}}
    assert format_table(metrics).splitlines()[2:] == [
        "mask AP 60.0  mask AP50 61.0  mask AP75 62.0",
        "mask AP by size of objects: small 63.0, medium 64.0, large 65.0; "
        "mask AR 68.0 with 100 detections per image",
        "",
        "class     AP   AP50  mask AP  mask AP50  objects",
        "cat     50.0  100.0     25.0          -        3",
    ]


def test_table_of_voc():
    """One mAP of the six; the others are in metrics.json."""
    names = ("11point", "area", "integral")
    means = {f"mAP_{n}{end}": 0.5 for n in names for end in ("", "_detected")}
    cat = {"11point": 0.75, "area": 0.8, "integral": 0.7, "objects": 3, "detections": 9}
    metrics = {**means, "mAP_11point": 0.732, "per_class": {"cat": cat}}
    assert format_table(metrics).splitlines() == [
        "mAP 73.2 (11-point, IoU 0.5)",
        "",
        "class     AP  objects",
        "cat     75.0        3",
    ]
    assert format_table({**metrics, "mAP_11point": None}, []).startswith("mAP undefined (")
