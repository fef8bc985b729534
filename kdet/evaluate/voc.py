"""Pascal VOC's metric, in the variants that published numbers use.

A detection is matched to the object of its class and image with the largest IoU, even if a
detection with a higher score is already matched to it. The detection is correct if the IoU is
greater than the threshold and the object is not matched yet. A detection that is matched to a
difficult object is ignored.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from kdet.evaluate.truth import check, class_names

STYLES = ("11point", "area", "integral")


def evaluate_voc(truth: dict, results: list[dict], image_ids, iou: float = 0.5) -> dict:
    """Average precision (AP) of every class and mean AP, in three styles.

    "11point" is VOC2007's: the mean over the recalls 0, 0.1, ..., 1 of the best precision at that
    recall or above. "area" is VOC2010's: the area under the envelope of the precision. "integral"
    is the area without the envelope: precision summed over the steps of recall.

    Args:
        truth: annotations as in a COCO file, optionally with "difficult". Difficult objects and
            crowds are not counted. The width of a box is w, without "+ 1".
        results: rows with image_id, category_id, score, bbox (x y w h, pixels).
        image_ids: ids of the evaluated images, each once.
        iou: threshold that the IoU must exceed.

    Returns:
        For each style "mAP_<style>", the mean over classes with objects (0 for a class without
        detections), and "mAP_<style>_detected", the mean over classes with objects and counted
        detections, as in some published tables. They are None if there is no such class.
        "per_class": name -> {"11point", "area", "integral", "objects", "detections"}.

    Raises:
        EvaluationError: missing, unknown or repeated images, unknown categories, or non-finite
            numbers.
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
    """Scores (n,) and correctness (n,) bool of the detections of a class, without ignored ones."""
    scores, right = [], []
    for image_id, rows in found.items():
        # The detection with the highest score matches an object first.
        rows = sorted(rows, key=lambda row: -row["score"])
        present = objects.get(image_id, [])
        if not present:
            scores += [row["score"] for row in rows]
            right += [False] * len(rows)
            continue
        overlaps = _overlaps([row["bbox"] for row in rows], [a["bbox"] for a in present])
        matched = set()
        for row, nearest, overlap in zip(rows, overlaps.argmax(axis=1), overlaps.max(axis=1)):
            hit = overlap > iou
            if hit and _ignored(present[nearest]):
                continue
            scores.append(row["score"])
            right.append(bool(hit and nearest not in matched))
            if hit:
                matched.add(nearest)
    return np.array(scores, np.float64), np.array(right, bool)


def _overlaps(a, b):
    """(n, m) IoU of x y w h boxes (n, 4) and (m, 4). It is 0 if both boxes are empty."""
    a, b = np.array(a, np.float64)[:, None], np.array(b, np.float64)[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def average_precision(scores, right, objects: int) -> dict[str, float]:
    """Average precision of one class in every style. The values are None without objects.

    Args:
        scores: (n,) float in any order. Equal scores keep their order.
        right: (n,) bool, whether the detection is correct.
        objects: number of objects of the class.
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
