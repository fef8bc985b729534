"""The VOC metric: hand-computed cases, a slow independent version, a real detector's output."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from kdet.errors import EvaluationError
from kdet.evaluate.voc import STYLES, average_precision, evaluate_voc

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "owl"}]


def truth_with(*objects, images=(1, 2)):
    """COCO-form truth of (image, category, x, y, w, h, difficult) rows."""
    return {
        "images": [{"id": i, "height": 100, "width": 100} for i in images],
        "categories": CATEGORIES,
        "annotations": [
            {
                "id": n,
                "image_id": o[0],
                "category_id": o[1],
                "bbox": list(o[2:6]),
                "difficult": o[6],
            }
            for n, o in enumerate(objects)
        ],
    }


def found(*rows):
    keys = ("image_id", "category_id", "score")
    return [{**dict(zip(keys, r[:3])), "bbox": list(r[3:])} for r in rows]


def test_average_precision_by_hand():
    # By score: right, wrong, right, of 4 objects: precision 1, 1/2, 2/3 at recall 1/4, 1/4, 2/4.
    ap = average_precision([0.7, 0.9, 0.8], [True, True, False], 4)
    assert ap["integral"] == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    assert ap["area"] == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    assert ap["11point"] == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)  # recall 0 .1 .2 | .3 .4 .5


def test_envelope_is_what_tells_area_from_integral():
    # wrong, right, right of 2: precision 0, 1/2, 2/3; under the envelope 2/3 everywhere.
    ap = average_precision([3, 2, 1], [False, True, True], 2)
    assert ap["area"] == pytest.approx(2 / 3)
    assert ap["integral"] == pytest.approx(0.5 * 0.5 + 0.5 * 2 / 3)
    assert ap["11point"] == pytest.approx(2 / 3)


def test_recall_equal_to_a_point_counts():
    scores = np.arange(10, 0, -1)
    ap = average_precision(scores, [True] * 3 + [False] * 7, 10)  # recall ends at exactly 0.3
    assert ap["11point"] == pytest.approx(4 / 11)


def test_overlap_must_exceed_the_threshold():
    truth = truth_with((1, 1, 0, 0, 10, 10, 0))
    half = evaluate_voc(truth, found((1, 1, 0.9, 0, 0, 10, 5)), [1, 2])  # IoU is 0.5
    more = evaluate_voc(truth, found((1, 1, 0.9, 0, 0, 10, 5.1)), [1, 2])
    assert (half["mAP_area"], more["mAP_area"]) == (0, 1)


def test_a_taken_object_is_not_left_for_the_second_best():
    """The second detection overlaps the taken object most, so it is wrong, though another waits."""
    truth = truth_with((1, 1, 0, 0, 20, 20, 0), (1, 1, 3, 0, 20, 20, 0))
    rows = found((1, 1, 0.9, 0, 0, 20, 20), (1, 1, 0.8, 1, 0, 20, 20))
    cat = evaluate_voc(truth, rows, [1, 2])["per_class"]["cat"]
    assert cat["area"] == pytest.approx(0.5)
    assert (cat["objects"], cat["detections"]) == (2, 2)


def test_difficult_objects_neither_count_nor_punish():
    truth = truth_with((1, 1, 0, 0, 20, 20, 1), (2, 1, 0, 0, 20, 20, 0))
    rows = found((1, 1, 0.9, 0, 0, 20, 20), (1, 1, 0.8, 0, 0, 20, 19), (2, 1, 0.7, 0, 0, 20, 20))
    cat = evaluate_voc(truth, rows, [1, 2])["per_class"]["cat"]
    assert (cat["area"], cat["objects"], cat["detections"]) == (1, 1, 1)


def test_which_classes_are_averaged():
    """cat is found, dog has an object but no detection, owl has a detection but no object."""
    truth = truth_with((1, 1, 0, 0, 20, 20, 0), (2, 2, 0, 0, 20, 20, 0))
    rows = found((1, 1, 0.9, 0, 0, 20, 20), (1, 3, 0.9, 0, 0, 20, 20))
    metrics = evaluate_voc(truth, rows, [1, 2])
    assert (metrics["mAP_11point"], metrics["mAP_11point_detected"]) == (0.5, 1.0)
    assert metrics["per_class"]["owl"]["area"] is None


def test_nothing_found_and_bad_input():
    truth = truth_with((1, 1, 0, 0, 20, 20, 0))
    metrics = evaluate_voc(truth, [], [1, 2])
    assert (metrics["mAP_area"], metrics["mAP_area_detected"]) == (0, None)
    with pytest.raises(EvaluationError, match="not evaluated, ids: 2"):
        evaluate_voc(truth, [], [1])
    with pytest.raises(EvaluationError, match="non-finite"):
        evaluate_voc(truth, found((1, 1, 0.9, 0, 0, np.nan, 5)), [1, 2])


def slow(truth, results, iou=0.5):
    """The definition word by word: one detection at a time, no arrays."""

    def overlap(a, b):
        w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
        h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
        shared = w * h if w > 0 and h > 0 else 0
        union = a[2] * a[3] + b[2] * b[3] - shared
        return shared / union if union else 0

    aps = {}
    for category in truth["categories"]:
        objects = [a for a in truth["annotations"] if a["category_id"] == category["id"]]
        count = sum(not a["difficult"] for a in objects)
        rows = [r for r in results if r["category_id"] == category["id"]]
        tp, fp, used, curve = 0, 0, [], []
        for row in sorted(rows, key=lambda r: r["score"], reverse=True):
            best, best_overlap = None, -1
            for a in objects:
                if a["image_id"] == row["image_id"]:
                    value = overlap(a["bbox"], row["bbox"])
                    if value > best_overlap:
                        best, best_overlap = a, value
            if best is not None and best_overlap > iou:
                if best["difficult"]:
                    continue
                if best["id"] in used:
                    fp += 1
                else:
                    tp += 1
                    used.append(best["id"])
            else:
                fp += 1
            curve.append((tp / count if count else 0, tp / (tp + fp)))
        if not count:
            continue
        eleven = [max([p for r, p in curve if r >= k / 10], default=0) for k in range(11)]
        area = integral = last = 0
        for k, (recall, precision) in enumerate(curve):
            area += (recall - last) * max(p for _, p in curve[k:])
            integral += (recall - last) * precision
            last = recall
        aps[category["name"]] = {"11point": sum(eleven) / 11, "area": area, "integral": integral}
    return aps


def assert_same(truth, results):
    ids = [image["id"] for image in truth["images"]]
    metrics = evaluate_voc(truth, results, ids)
    expected = slow(truth, results)
    assert {n for n, c in metrics["per_class"].items() if c["objects"]} == set(expected)
    for name, styles in expected.items():
        for style in STYLES:
            assert metrics["per_class"][name][style] == pytest.approx(styles[style], abs=1e-9)
    return metrics


def test_equals_the_slow_version_on_random_scenes():
    rng = np.random.default_rng(7)
    for _ in range(10):
        objects, rows, images = [], [], range(1, 7)
        for _ in range(40):
            box = [*rng.uniform(0, 60, 2), *rng.uniform(5, 40, 2)]
            where = int(rng.integers(1, 7)), int(rng.integers(1, 4))
            objects.append((*where, *box, int(rng.random() < 0.2)))
            for _ in range(rng.integers(0, 3)):
                rows.append((*where, rng.random(), *(box + rng.normal(0, 2, 4)).clip(0.1)))
        for _ in range(20):
            where = int(rng.integers(1, 7)), int(rng.integers(1, 4))
            rows.append((*where, rng.random(), *rng.uniform(1, 50, 4)))
        assert_same(truth_with(*objects, images=images), found(*rows))


def voc_folder(folder):
    names = (folder / "voc.names").read_text().split()
    truth = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": i, "name": n} for i, n in enumerate(names)]
    results = []
    for number, path in enumerate(sorted((folder / "Annotations").glob("*.xml"))):
        truth["images"].append({"id": number, "file_name": path.stem})
        for node in ET.parse(path).getroot().iter("object"):
            x1, y1, x2, y2 = (
                float(node.find(f"bndbox/{k}").text) for k in ("xmin", "ymin", "xmax", "ymax")
            )
            annotation = {"id": len(truth["annotations"]), "image_id": number}
            annotation["category_id"] = names.index(node.find("name").text)
            annotation["bbox"] = [x1, y1, x2 - x1, y2 - y1]
            annotation["difficult"] = int(node.findtext("difficult", "0"))
            truth["annotations"].append(annotation)
        path = folder / "detections_txt" / f"{path.stem}.txt"  # absent where nothing was found
        for line in path.read_text().splitlines() if path.exists() else ():
            label, score, x1, y1, x2, y2 = map(float, line.split())
            box = [x1, y1, x2 - x1, y2 - y1]
            results += found((number, int(label), score, *box))
    return truth, results


def test_a_real_detector_on_100_images(shared):
    truth, results = voc_folder(shared / "datasets/voc2012_100")
    assert (len(truth["images"]), len(truth["annotations"])) == (100, 273)
    metrics = assert_same(truth, results)
    means = [round(metrics[f"mAP_{style}"], 4) for style in STYLES]
    assert means == [0.6075, 0.6139, 0.5769]
