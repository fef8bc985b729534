"""The numbers of the report, from matches and from COCO's precision."""

from __future__ import annotations

import numpy as np

from kdet.analyse.match import CLASS, CORRECT, KINDS, LOCALISATION, MISSED, Matches
from kdet.evaluate.coco import mean_of_defined

IOUS = {"AP50": 0, "AP60": 2, "AP70": 4, "AP75": 5, "AP80": 6, "AP90": 8}  # place among COCO's ten
RECALLS = np.linspace(0, 1, 101)  # where COCO reads precision
COCO_SIZES = (("small, below 32 x 32", 0, 32**2), ("medium", 32**2, 96**2),
              ("large, from 96 x 96", 96**2, np.inf))  # fmt: skip
QUANTILES = 5  # groups of sizes with equally many objects
NO_THRESHOLD = 0.5  # where no detection is right, so that no threshold is better than another


def ap_table(precision) -> dict:
    """AP at several IoU, of all classes and of each one.

    Args:
        precision: (10, 101, K) of pycocotools: IoU 0.5:0.95, recall, class; -1 is undefined.

    Returns:
        {"AP", "AP50", "AP60", "AP70", "AP75", "AP80", "AP90"}: 0..1 or None, and a list of K such
        dicts.
    """

    def one(part):
        return {
            "AP": mean_of_defined(part),
            **{name: mean_of_defined(part[i]) for name, i in IOUS.items()},
        }

    return one(precision), [one(precision[:, :, k : k + 1]) for k in range(precision.shape[2])]


def best_f1(score, correct, objects: int) -> dict | None:
    """The score threshold with the highest F1, the harmonic mean of precision and recall.

    Args:
        score: (n,) descending.
        correct: (n,) bool.
        objects: how many there are to find.

    Returns:
        {"threshold", "precision", "recall", "f1"}; of equal F1 the highest threshold. None if no
        detection is correct.
    """
    if not np.any(correct):
        return None
    right, count = np.cumsum(correct), np.arange(1, len(score) + 1)
    f1 = 2 * right / (count + objects)
    f1[:-1][score[:-1] == score[1:]] = 0  # a threshold cannot separate equal scores
    k = int(np.argmax(f1))
    return {
        "threshold": float(score[k]),
        "precision": float(right[k] / count[k]),
        "recall": float(right[k] / objects),
        "f1": float(f1[k]),
    }


def average_precision(score, correct, objects: int) -> float:
    """COCO's AP at one IoU: the mean of the precision, made monotone, at 101 recalls.

    Args:
        score: (n,) in any order; of equal ones the first comes first.
        correct: (n,) bool.
        objects: how many there are to find. Without objects, AP is 0.
    """
    if not objects:
        return 0.0
    correct = correct[np.argsort(-score, kind="stable")]
    right = np.cumsum(correct)
    precision = right / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(right / objects, RECALLS, side="left")
    return float(np.append(precision, 0.0)[at].mean())


def mean_ap50(score, label, correct, objects, counted=None) -> float | None:
    """The mean AP50 of the classes that are `counted`, (K,) bool; default: those with objects.

    `objects` has K counts.
    """
    counted = objects > 0 if counted is None else counted
    classes = [
        average_precision(score[label == k], correct[label == k], int(objects[k]))
        for k in np.flatnonzero(counted)
    ]
    return float(np.mean(classes)) if classes else None


def fix_costs(m: Matches, classes: int) -> dict[str, float | None]:
    """For each kind of error, by how much AP50 rises if all errors of that kind are corrected.

    As in TIDE, correcting means: of the class and localisation errors at an unfound object, the one
    with the best score becomes correct and the others disappear; other wrong detections disappear;
    missed objects are not counted.
    """
    objects = np.bincount(m.object_label, minlength=classes)
    correct = m.kind == CORRECT
    base = mean_ap50(m.score, m.label, correct, objects)
    if base is None:
        return dict.fromkeys(KINDS)
    best = np.zeros(len(m.kind), bool)
    aims = np.flatnonzero(m.target >= 0)
    aims = aims[m.detection[m.target[aims]] < 0]  # an object cannot be found twice
    best[aims[np.unique(m.target[aims], return_index=True)[1]]] = True  # scores descend
    costs = {}
    for kind, name in enumerate(KINDS):
        mine, label, left = m.kind == kind, m.label, objects
        keep, right = ~mine, correct
        if kind in (CLASS, LOCALISATION):
            keep, right = ~mine | best, correct | (mine & best)
            label = label.copy()
            label[mine & best] = m.object_label[m.target[mine & best]]
        if kind == MISSED:
            gone = m.object_label[m.missed(np.ones(len(m.kind), bool))]
            left = objects - np.bincount(gone, minlength=classes)
        # a class whose objects are all missed has AP 0, or no AP if nothing is detected as it
        counted = (objects > 0) & ((left > 0) | (np.bincount(label[keep], minlength=classes) > 0))
        fixed = mean_ap50(m.score[keep], label[keep], right[keep], left, counted)
        costs[name] = max(0.0, (fixed or 0.0) - base)
    return costs


def error_counts(m: Matches, shown, classes: int) -> np.ndarray:
    """(K, 6) numbers of errors per class and kind among the detections of the (n,) mask.

    A detection counts for the class that it claims, a missed object for its own class.
    """
    counts = np.zeros((classes, len(KINDS)), int)
    wrong = shown & (m.kind != CORRECT)
    np.add.at(counts, (m.label[wrong], m.kind[wrong]), 1)
    np.add.at(counts, (m.object_label[m.missed(shown)], MISSED), 1)
    return counts


def confusion(m: Matches, shown, classes: int) -> np.ndarray:
    """(K + 1, K + 1) counts: true class x detected class; the last row and column are background.

    Every object and every detection of the (n,) mask counts once. First, objects go with the
    detections that found them. Then, from the best score to the lowest, a detection takes the
    object of another class that it overlaps most, if IoU is at least 0.5 and the object is free.
    """
    table = np.zeros((classes + 1, classes + 1), int)
    found = m.found(shown)
    np.add.at(table, (m.object_label[found], m.object_label[found]), 1)
    for k in np.flatnonzero(shown & (m.kind != CORRECT)):
        at = m.other[k]
        if at >= 0 and not found[at]:
            found[at] = True
            table[m.object_label[at], m.label[k]] += 1
        else:
            table[classes, m.label[k]] += 1
    np.add.at(table, (m.object_label[~found], classes), 1)
    return table


def recall_by_size(m: Matches, shown) -> list[dict]:
    """How many objects of each size are found, by the mask and by any detection.

    The sizes are COCO's three by the annotated area, and five groups by the side sqrt(w h) of the
    box with equally many objects.
    """
    any_score = np.ones(len(m.kind), bool)
    side = np.sqrt(np.prod(m.object_box[:, 2:] - m.object_box[:, :2], axis=1))
    groups = [
        (name, (m.object_area >= low) & (m.object_area < high)) for name, low, high in COCO_SIZES
    ]
    if len(side):
        edges = np.quantile(side, np.linspace(0, 1, QUANTILES + 1))
        part = np.searchsorted(edges[1:-1], side, side="right")
        groups += [
            (f"side {edges[k]:.0f} to {edges[k + 1]:.0f} pixels", part == k)
            for k in range(QUANTILES)
        ]
    found, reachable = m.found(shown), m.found(any_score)
    return [
        {
            "size": name,
            "objects": int(mine.sum()),
            "recall": float(found[mine].mean()) if mine.any() else None,
            "recall_at_any_score": float(reachable[mine].mean()) if mine.any() else None,
        }
        for name, mine in groups
    ]


def penalties(m: Matches, shown) -> np.ndarray:
    """(I,) how wrong each image is: its objects that were not found, plus the scores of its wrong
    detections of the mask."""
    count = len(m.image_ids)
    wrong = shown & (m.kind != CORRECT)
    lost = np.bincount(m.object_image[~m.found(shown)], minlength=count)
    return lost + np.bincount(m.image[wrong], m.score[wrong], minlength=count)
