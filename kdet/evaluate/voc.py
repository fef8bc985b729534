"""Pascal VOC's metric, with the variants that published numbers were made with.

A detection belongs to the object of its class and image that it overlaps most, even when a better
detection already has it. It is right if their IoU is above the threshold (not equal to it) and the
object is still free; belonging to a difficult object makes it neither right nor wrong.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from kdet.evaluate.truth import check, class_names

STYLES = ("11point", "area", "integral")


def evaluate_voc(truth: dict, results: list[dict], image_ids, iou: float = 0.5) -> dict:
    """Average precision of every class and their means, in three styles.

    Styles: "11point" (VOC2007: mean over recall 0, 0.1, ..., 1 of the best precision at that
    recall or above), "area" (VOC2010: area under the precision envelope) and "integral" (area
    without the envelope: precision summed over the steps of recall).

    Args:
        truth: COCO json form; annotations may hold "difficult". Difficult objects and crowds are
            not counted. Boxes are compared as they stand, width = w.
        results: rows of image_id, category_id, score, bbox (x y w h, pixels).
        image_ids: ids of the evaluated images, each once.
        iou: what the overlap must exceed.

    Returns:
        For each style "mAP_<style>", the mean over classes with objects (0 for a class without
        detections), and "mAP_<style>_detected", the mean over classes with objects and counted
        detections, as some published tables take it; None where there is no such class.
        "per_class": name -> {"11point", "area", "integral", "objects", "detections"}.

    Raises:
        EvaluationError: images missing, unknown or twice, unknown categories, non-finite numbers.
    """
    image_ids = [int(i) for i in image_ids]
    check(truth, results, image_ids)
    objects, found = _by_class(truth["annotations"]), _by_class(results)
    per_class = {}
    for category, name in class_names(truth).items():
        mine = objects[category]
        scores, right = _judged(mine, found[category], iou)
        counted = sum(not _ignored(a) for rows in mine.values() for a in rows)
        precisions = average_precision(scores, right, counted)
        per_class[name] = {**precisions, "objects": counted, "detections": len(scores)}
    with_objects = [c for c in per_class.values() if c["objects"]]
    detected = [c for c in with_objects if c["detections"]]
    means = {}
    for style in STYLES:
        means[f"mAP_{style}"] = _mean([c[style] for c in with_objects])
        means[f"mAP_{style}_detected"] = _mean([c[style] for c in detected])
    return {**means, "per_class": per_class}


def _mean(values):
    return float(np.mean(values)) if values else None


def _ignored(annotation):
    return bool(annotation.get("difficult", 0) or annotation.get("iscrowd", 0))


def _by_class(rows):
    """category id -> image id -> rows."""
    grouped = defaultdict(lambda: defaultdict(list))
    for row in rows:
        grouped[row["category_id"]][row["image_id"]].append(row)
    return grouped


def _judged(objects, found, iou):
    """Scores (n,) and rightness (n,) bool of one class's detections, ignored ones left out."""
    scores, right = [], []
    for image_id, rows in found.items():
        rows = sorted(rows, key=lambda row: -row["score"])
        there = objects.get(image_id, [])
        if not there:
            scores += [row["score"] for row in rows]
            right += [False] * len(rows)
            continue
        overlaps = _overlaps([row["bbox"] for row in rows], [a["bbox"] for a in there])
        taken = set()
        for row, nearest, overlap in zip(rows, overlaps.argmax(axis=1), overlaps.max(axis=1)):
            hit = overlap > iou
            if hit and _ignored(there[nearest]):
                continue
            scores.append(row["score"])
            right.append(bool(hit and nearest not in taken))
            if hit:
                taken.add(nearest)
    return np.array(scores, np.float64), np.array(right, bool)


def _overlaps(a, b):
    """(n, m) IoU of x y w h boxes (n, 4) and (m, 4); 0 where both are empty."""
    a, b = np.array(a, np.float64)[:, None], np.array(b, np.float64)[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def average_precision(scores, right, objects: int) -> dict[str, float]:
    """Average precision of one class in every style; None without objects.

    Args:
        scores: (n,) float, any order; equal scores keep their order.
        right: (n,) bool, whether the detection found an object.
        objects: how many objects there were to find.
    """
    if not objects:
        return dict.fromkeys(STYLES, None)
    if not len(scores):
        return dict.fromkeys(STYLES, 0.0)
    hits = np.cumsum(np.asarray(right)[np.argsort(-np.asarray(scores), kind="stable")])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / objects
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0.0)
    reached = np.searchsorted(recall, [k / 10 for k in range(11)])  # first with recall >= k / 10
    eleven = np.append(envelope, 0.0)[reached]
    return {
        "11point": float(eleven.mean()),
        "area": float(steps @ envelope),
        "integral": float(steps @ precision),
    }
