"""Which detections and objects belong together, and why the other detections are wrong.

The kinds of errors and their tests are those of TIDE (Bolya et al. 2020, "TIDE: A General Toolbox
for Identifying Object Detection Errors"), in the order of its published code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IOU, TOUCH = 0.5, 0.1  # a detection belongs to an object from IOU on; below TOUCH it is background
KINDS = ("class", "localisation", "both", "duplicate", "background", "missed")
CLASS, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(len(KINDS))
CORRECT = -1


@dataclass(frozen=True, eq=False)
class Matches:
    """The detections and objects of a data set, without those that COCO's rule ignores.

    Detections have descending scores. They and the objects are matched at IoU 0.5 by pycocotools.

    Attributes:
        image_ids: (I,) ids of the images; other arrays hold positions in it.
        image, label, score, box: (n,), (n,), (n,) and (n, 4) xyxy pixels of each detection.
        partner: (n,) the object that a detection found, or -1.
        kind: (n,) index into `KINDS` of a wrong detection, or CORRECT.
        target: (n,) the object that a wrong detection would match with the right class (kind CLASS)
            or a better box (kind LOCALISATION), or -1.
        other: (n,) the object of another class that a detection overlaps most, if IoU is at least
            0.5, or -1.
        object_image, object_label, object_box, object_area: (m,), (m,), (m, 4) and (m,) of each
            object.
        detection: (m,) the detection that found an object, or -1.
    """

    image_ids: np.ndarray
    image: np.ndarray
    label: np.ndarray
    score: np.ndarray
    box: np.ndarray
    partner: np.ndarray
    kind: np.ndarray
    target: np.ndarray
    other: np.ndarray
    object_image: np.ndarray
    object_label: np.ndarray
    object_box: np.ndarray
    object_area: np.ndarray
    detection: np.ndarray

    def shown(self, threshold: float) -> np.ndarray:
        """(n,) bool: detections with score >= threshold."""
        return self.score >= threshold

    def found(self, shown) -> np.ndarray:
        """(m,) bool: objects found by the detections of a (n,) bool mask."""
        return np.append(shown, False)[self.detection]  # -1 is the last one

    def missed(self, shown) -> np.ndarray:
        """(m,) bool: objects not found, and not the target of a detection of the mask either."""
        aimed = np.zeros(len(self.detection), bool)
        aimed[self.target[shown & (self.target >= 0)]] = True
        return ~self.found(shown) & ~aimed


def matches_of(scored) -> Matches:
    """The matches of an evaluated `COCOeval` (`kdet.evaluate.coco.coco_eval`, boxes).

    Labels are in the order of the categories. Ignored are crowds, detections that lie on crowds,
    and of each class and image all but the 100 best detections.
    """
    rows, objects = (coco.dataset["annotations"] for coco in (scored.cocoDt, scored.cocoGt))
    labels = {c["id"]: k for k, c in enumerate(scored.cocoGt.dataset["categories"])}
    images = {i: k for k, i in enumerate(scored.params.imgIds)}
    image, label, score, boxes = _columns(rows, images, labels)
    object_image, object_label, _, object_boxes = _columns(objects, images, labels)
    partner, counted = np.full(len(rows), -1), np.zeros(len(rows), bool)
    for entry in filter(None, scored.evalImgs):  # ids are places in the lists, counted from 1
        ids = np.array(entry["dtIds"], int) - 1
        partner[ids] = entry["dtMatches"][0].astype(int) - 1
        counted[ids] = ~entry["dtIgnore"][0].astype(bool)
    # pycocotools has this order too, which decides between equal scores
    order = np.lexsort((np.arange(len(rows)), image, -score))
    order = order[counted[order]]
    kept = np.flatnonzero([not a["iscrowd"] for a in objects])
    place = np.full(len(objects) + 1, -1)
    place[kept] = np.arange(len(kept))
    partner, image, label, score = place[partner[order]], image[order], label[order], score[order]
    boxes, detection = boxes[order], np.full(len(kept), -1)
    detection[partner[partner >= 0]] = np.flatnonzero(partner >= 0)
    object_image, object_label = object_image[kept], object_label[kept]
    object_boxes = object_boxes[kept]
    kind, target, other = _kinds(
        (image, label, boxes), (object_image, object_label, object_boxes), partner
    )
    return Matches(
        np.array(scored.params.imgIds), image, label, score, _corners(boxes), partner, kind,
        target, other, object_image, object_label, _corners(object_boxes),
        np.array([objects[k]["area"] for k in kept], float), detection,
    )  # fmt: skip


def _columns(rows, images, labels):
    image = np.array([images[r["image_id"]] for r in rows], int)
    label = np.array([labels[r["category_id"]] for r in rows], int)
    score = np.array([r.get("score", 0) for r in rows], float)
    return image, label, score, np.array([r["bbox"] for r in rows], float).reshape(-1, 4)


def _corners(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _kinds(detections, objects, partner):
    """Kind, target and overlapped object of another class of every detection."""
    from pycocotools import mask

    image, label, boxes = detections
    object_image, object_label, object_boxes = objects
    kind = np.where(partner >= 0, CORRECT, BACKGROUND)
    target, other = np.full(len(kind), -1), np.full(len(kind), -1)
    for mine, there in _per_image(image, object_image):
        iou = np.asarray(mask.iou(boxes[mine], object_boxes[there], [0] * len(there)))
        same = label[mine][:, None] == object_label[there][None, :]
        alike, unlike = iou * same, iou * ~same
        best, second = there[alike.argmax(1)], there[unlike.argmax(1)]
        own, foreign = alike.max(1), unlike.max(1)
        tests = (  # the first that is true decides
            partner[mine] >= 0,
            (own >= TOUCH) & (own < IOU),
            foreign >= IOU,
            own >= IOU,
            np.maximum(own, foreign) <= TOUCH,
        )
        names = (CORRECT, LOCALISATION, CLASS, DUPLICATE, BACKGROUND)
        kind[mine] = np.select(tests, names, BOTH)
        aims = [kind[mine] == LOCALISATION, kind[mine] == CLASS]
        target[mine] = np.select(aims, [best, second], -1)
        other[mine] = np.where(foreign >= IOU, second, -1)
    return kind, target, other


def _per_image(image, object_image):
    """Yields the detections and the objects of each image that has both."""
    orders = [np.argsort(column, kind="stable") for column in (image, object_image)]
    columns = image[orders[0]], object_image[orders[1]]
    for k in np.intersect1d(image, object_image):
        yield tuple(o[slice(*np.searchsorted(c, (k, k + 1)))] for o, c in zip(orders, columns))
