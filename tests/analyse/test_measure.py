"""The numbers of the report: by hand, and equal to pycocotools."""

import json

import numpy as np
import pytest
from animals import CAT, DOG, rows_with, truth_with

from kdet.analyse import measure
from kdet.analyse.match import CORRECT, KINDS, matches_of
from kdet.analyse.run import measured
from kdet.evaluate.coco import coco_eval, evaluate_coco


def matched(truth, rows):
    return matches_of(coco_eval(truth, rows, sizes=False))


@pytest.fixture
def one_class():
    """Background 0.9, correct 0.8, duplicate 0.7, correct 0.6; one of three objects is missed."""
    boxes = [(0, 0, 10, 10), (20, 0, 10, 10), (40, 0, 10, 10)]
    places = [(80, 50, 10, 10), boxes[0], boxes[0], boxes[1]]
    rows = rows_with((11, CAT, box, 0.9 - k / 10) for k, box in enumerate(places))
    return matched(truth_with([(11, CAT, box, 0) for box in boxes]), rows)


def test_what_kinds_cost_in_one_class(one_class):
    """Precision 0.5 up to recall 2/3, which is 67 of the 101 points: AP50 is 33.5 / 101.

    Without background, precision is 1 on 34 points and 2/3 on 33. Without the duplicate, it is 2/3
    on 67. Without the missed object, it is 0.5 on all.
    """
    costs = measure.fix_costs(one_class, 2)
    hand = {"background": 22.5, "duplicate": 67 * 2 / 3 - 33.5, "missed": 17.0}
    for kind in KINDS:
        assert costs[kind] == pytest.approx(hand.get(kind, 0) / 101), kind


def test_what_kinds_cost_across_classes(one_of_each):
    """One of two cats is found first, so the AP50 of cats is 51 / 101; that of dogs is 0.

    With the right class, one of two dogs is found first. With a better box, the other cat is found
    with precision 2/4, which adds 25 / 101.
    """
    costs = measure.fix_costs(matched(*one_of_each), 2)
    hand = {"class": 51, "localisation": 25}
    for kind in KINDS:
        assert costs[kind] == pytest.approx(hand.get(kind, 0) / 202), kind


def test_an_object_is_corrected_once():
    """Two detections of a wrong class lie on one dog: the better one becomes correct."""
    truth = truth_with([(11, DOG, (0, 0, 10, 10), 0)])
    rows = rows_with([(11, CAT, (0, 0, 10, 10), 0.9), (11, CAT, (0, 0, 10, 9), 0.8)])
    assert measure.fix_costs(matched(truth, rows), 2)["class"] == 1.0
    # the first of two dogs is found, so a cat on it does not become a second dog
    truth = truth_with([(11, DOG, (0, 0, 10, 10), 0), (11, DOG, (50, 50, 10, 10), 0)])
    rows += rows_with([(11, DOG, (0, 0, 10, 10), 0.95)])
    assert measure.fix_costs(matched(truth, rows), 2)["class"] == 0.0


def test_costs_without_objects_are_undefined():
    m = matched(truth_with([]), rows_with([(11, CAT, (0, 0, 5, 5), 0.5)]))
    assert measure.fix_costs(m, 2) == dict.fromkeys(KINDS)


def test_counts(one_of_each):
    m = matched(*one_of_each)
    columns = dict(zip(KINDS, measure.error_counts(m, m.shown(0), 2).T.tolist()))
    assert columns == {
        "class": [1, 0],
        "localisation": [1, 0],
        "both": [1, 0],
        "duplicate": [1, 0],
        "background": [0, 1],
        "missed": [0, 1],
    }
    assert measure.error_counts(m, m.shown(0.65), 2).sum(0).tolist() == [1, 0, 0, 1, 0, 2]


def test_confusion(one_of_each):
    m = matched(*one_of_each)
    table = measure.confusion(m, m.shown(0), 2)
    assert table.tolist() == [[1, 0, 1], [1, 0, 1], [3, 1, 0]]
    assert measure.confusion(m, m.shown(0.75), 2).tolist() == [[1, 0, 1], [0, 0, 2], [1, 0, 0]]
    assert measure.confusion(m, m.shown(0.95), 2).tolist() == [[0, 0, 2], [0, 0, 2], [0, 0, 0]]


def test_an_object_is_confused_once():
    """The better of two cats on a dog takes it. A dog that is found as a dog is not confused."""
    truth = truth_with([(11, DOG, (0, 0, 10, 10), 0)])
    rows = rows_with([(11, CAT, (0, 0, 10, 9), 0.5), (11, CAT, (0, 0, 10, 10), 0.9)])
    m = matched(truth, rows)
    assert measure.confusion(m, m.shown(0), 2).tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]
    m = matched(truth, rows + rows_with([(11, DOG, (0, 0, 10, 10), 0.1)]))
    assert measure.confusion(m, m.shown(0), 2).tolist() == [[0, 0, 0], [0, 1, 0], [2, 0, 0]]


@pytest.mark.parametrize(
    ("score", "correct", "objects", "wanted"),
    [
        ([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], 3, (0.6, 1 / 2, 2 / 3, 4 / 7)),
        ([0.9, 0.8, 0.7], [1, 0, 0], 1, (0.9, 1, 1, 1)),
        ([0.9, 0.9, 0.5], [1, 0, 0], 1, (0.9, 1 / 2, 1, 2 / 3)),  # equal scores stay together
        ([0.9, 0.5], [1, 0], 4, (0.9, 1, 1 / 4, 2 / 5)),
        ([0.9, 0.5], [0, 0], 4, None),
        ([], [], 4, None),
        ([], [], 0, None),
    ],
)
def test_best_f1(score, correct, objects, wanted):
    best = measure.best_f1(np.array(score), np.array(correct, bool), objects)
    if wanted is None:
        assert best is None
    else:
        assert list(best.values()) == pytest.approx(list(wanted))
        assert list(best) == ["threshold", "precision", "recall", "f1"]


def test_recall_by_size():
    objects = [(11, CAT, (0, 0, side, side), 0) for side in (10, 31)]
    objects += [(12, CAT, (0, 0, 32, 32), 0), (12, DOG, (0, 0, 80, 80), 0)]
    rows = rows_with([(11, CAT, (0, 0, 31, 31), 0.9), (12, CAT, (0, 0, 32, 32), 0.3)])
    m = matched(truth_with(objects), rows)
    sizes = measure.recall_by_size(m, m.shown(0.5))
    assert [r["objects"] for r in sizes] == [2, 2, 0, 1, 1, 0, 1, 1]
    assert [r["recall"] for r in sizes] == [0.5, 0, None, 0, 1, None, 0, 0]
    assert [r["recall_at_any_score"] for r in sizes] == [0.5, 0.5, None, 0, 1, None, 1, 0]
    assert sizes[3]["size"] == "side 10 to 23 pixels"  # 10 + 0.6 * 21 = 22.6


def test_penalties(one_of_each):
    """At 0.5, three objects are not found, and the wrong detections have 0.8, 0.7, 0.6 and 0.5."""
    m = matched(*one_of_each)
    assert measure.penalties(m, m.shown(0.5)) == pytest.approx([3 + 2.6, 0, 0])


def random_case(seed, images=12, classes=3):
    """Objects on random places, and detections near them, with many equal scores and crowds."""
    rng = np.random.default_rng(seed)
    truth = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": i, "name": f"c{i}"} for i in (7, 3, 5, 90)[: classes + 1]]
    rows = []
    for image in range(images):
        truth["images"].append({"id": image, "height": 200, "width": 200})
        for _ in range(rng.integers(0, 7)):
            box = [*rng.uniform(0, 100, 2), *rng.uniform(5, 100, 2)]
            kind = int(rng.choice((7, 3, 5)))
            truth["annotations"].append(
                {"id": len(rows) + 1, "image_id": image, "category_id": kind, "bbox": box,
                 "area": box[2] * box[3], "iscrowd": int(rng.random() < 0.1)}
            )  # fmt: skip
            for _ in range(rng.integers(0, 4)):
                near = np.add(box, rng.normal(0, 8, 4)).clip(1).tolist()
                kind = kind if rng.random() < 0.7 else int(rng.choice((7, 3, 5, 90)))
                score = round(float(rng.random()), 1)
                rows.append({"image_id": image, "category_id": kind, "bbox": near, "score": score})
    return truth, rows


@pytest.mark.parametrize("seed", range(4))
def test_ap_equals_pycocotools(seed):
    check_ap(*random_case(seed))


def test_ap_of_the_fixture_equals_pycocotools(shared):
    place = shared / "datasets" / "cocoeval_fixture"
    check_ap(*(json.loads((place / name).read_text()) for name in ("gts.json", "dets.json")))


def check_ap(truth, rows):
    numbers, m, _ = measured(truth, rows)
    theirs = evaluate_coco(truth, rows, [i["id"] for i in truth["images"]])
    for name in ("AP", "AP50", "AP75"):
        assert numbers[name] == pytest.approx(theirs[name], abs=1e-12)
    names = [row["name"] for row in numbers["per_class"]]
    assert names == [category["name"] for category in truth["categories"]]  # theirs are by id
    for row in numbers["per_class"]:
        other = theirs["per_class"][row["name"]]
        assert {k: row[k] for k in other} == pytest.approx(other, abs=1e-12)
    objects = np.bincount(m.object_label, minlength=len(numbers["per_class"]))
    own = measure.mean_ap50(m.score, m.label, m.kind == CORRECT, objects)
    assert own == pytest.approx(theirs["AP50"], abs=1e-12)  # computed without pycocotools
    curve = [values for values in numbers["precision_at_recall"] if values is not None]
    assert np.mean(curve) == pytest.approx(theirs["AP50"], abs=1e-12)
    table = np.array(numbers["confusion"])
    assert table[:-1].sum(1).tolist() == objects.tolist()
    assert table[:, :-1].sum() == numbers["shown_detections"]


def test_counts_and_costs_of_tide(shared):
    """What the code of the paper (tidecv 1.0.1) gives for the fixture, classes without objects left
    out. Some of its scores are equal, and TIDE has another order there."""
    place = shared / "datasets" / "cocoeval_fixture"
    truth, rows = (json.loads((place / n).read_text()) for n in ("gts.json", "dets.json"))
    known = {a["category_id"] for a in truth["annotations"]}
    m = matched(truth, [row for row in rows if row["category_id"] in known])
    count = len(truth["categories"])
    counts = measure.error_counts(m, m.shown(0), count).sum(0)
    assert counts.tolist() == [74, 1, 0, 1, 0, 106]
    costs = [100 * cost for cost in measure.fix_costs(m, count).values()]
    assert costs == pytest.approx([15.5688, 0.2474, 0, 0.0206, 0, 10.5588], abs=0.02)


def test_crowds_and_difficult_objects_are_ignored(one_of_each):
    truth, rows = one_of_each
    annotations = [dict(a) for a in truth["annotations"]]
    annotations[0]["difficult"] = 1  # the cat that two detections lie on
    numbers, m, _ = measured({**truth, "annotations": annotations}, rows)
    assert numbers["objects"] == 3 and numbers["ignored_objects"] == 2
    assert m.score.tolist() == [0.7, 0.6, 0.5, 0.4]
