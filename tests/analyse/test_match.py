"""Every kind of error, counted by hand."""

import numpy as np
import pytest
from animals import CAT, DOG, rows_with, truth_with

from kdet.analyse.match import CORRECT, KINDS, matches_of
from kdet.evaluate.coco import coco_eval


def matched(truth, rows):
    return matches_of(coco_eval(truth, rows, sizes=False))


def kinds(m):
    return ["correct" if k == CORRECT else KINDS[k] for k in m.kind]


def test_one_of_each_kind(one_of_each):
    m = matched(*one_of_each)
    wanted = ["correct", "duplicate", "class", "localisation", "both", "background"]
    assert kinds(m) == wanted  # the detection on the crowd is left out
    assert m.score.tolist() == [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert m.label.tolist() == [CAT] * 5 + [DOG]
    assert m.partner.tolist() == [0, -1, -1, -1, -1, -1]
    assert m.target.tolist() == [-1, -1, 1, 2, -1, -1]
    assert m.other.tolist() == [-1, -1, 1, -1, -1, -1]
    assert m.detection.tolist() == [0, -1, -1, -1] and m.object_label.tolist() == [0, 1, 0, 1]
    assert m.box[1].tolist() == [0, 0, 10, 9] and m.object_box[1].tolist() == [20, 0, 30, 10]


def test_found_and_missed_depend_on_the_threshold(one_of_each):
    m = matched(*one_of_each)
    assert m.missed(m.shown(0.0)).tolist() == [False, False, False, True]
    assert m.missed(m.shown(0.65)).tolist() == [False, False, True, True]
    assert m.found(m.shown(0.95)).tolist() == [False] * 4
    assert m.missed(m.shown(0.95)).tolist() == [True] * 4


def test_a_place_comes_before_a_class():
    """As in TIDE: near an object of its own class, a detection has a wrong box, whatever else it
    lies on."""
    objects = [(11, CAT, (0, 0, 10, 10), 0), (11, DOG, (6, 0, 10, 10), 0)]
    m = matched(truth_with(objects), rows_with([(11, CAT, (6, 0, 10, 10), 0.9)]))
    assert kinds(m) == ["localisation"]  # IoU 40/160 with the cat
    assert m.target.tolist() == [0] and m.other.tolist() == [1]


@pytest.mark.parametrize(
    ("x", "kind"), [(3, "correct"), (4, "localisation"), (8, "localisation"), (9, "background")]
)
def test_the_limits_of_iou(x, kind):
    """(10 - x) / (10 + x): 0.54, 0.43, 0.11 and 0.05."""
    truth = truth_with([(11, CAT, (0, 0, 10, 10), 0)])
    assert kinds(matched(truth, rows_with([(11, CAT, (x, 0, 10, 10), 0.9)]))) == [kind]


def test_images_do_not_mix():
    truth = truth_with([(11, CAT, (0, 0, 10, 10), 0), (12, DOG, (0, 0, 10, 10), 0)])
    rows = rows_with([(12, CAT, (0, 0, 10, 10), 0.9), (13, DOG, (0, 0, 10, 10), 0.8)])
    m = matched(truth, rows)
    assert kinds(m) == ["class", "background"] and m.target.tolist() == [1, -1]
    assert m.image_ids[m.image].tolist() == [12, 13]


def test_nothing_detected_and_nothing_there(one_of_each):
    m = matched(one_of_each[0], [])
    assert len(m.score) == 0 and m.missed(m.shown(0.5)).all() and len(m.detection) == 4
    m = matched(truth_with([]), rows_with([(11, CAT, (0, 0, 5, 5), 0.5)]))
    assert kinds(m) == ["background"] and len(m.detection) == 0
    assert m.missed(np.ones(1, bool)).shape == (0,)
