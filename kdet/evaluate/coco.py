"""COCO's metric, which pycocotools computes."""

from __future__ import annotations

import contextlib
import io

import numpy as np

from kdet.errors import EvaluationError
from kdet.evaluate.truth import check, class_names

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def evaluate_coco(truth: dict, results: list[dict], image_ids, iou_type: str = "bbox") -> dict:
    """The twelve metrics of COCO, and the AP of every class.

    Args:
        truth: annotations as in a COCO file: "images" (id, height, width), "annotations" (id,
            image_id, category_id, bbox x y w h in pixels[, area, iscrowd]), "categories" (id,
            name). It is not changed.
        results: rows with image_id, category_id, score, and bbox (x y w h) or segmentation (RLE).
        image_ids: ids of all evaluated images, each once, also of images without results.
        iou_type: "bbox" or "segm".

    Returns:
        {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"}:
        0..1, or None if there is no object of that size. "per_class": name -> {"AP", "AP50",
        "objects"}, where crowds are not counted.

    Raises:
        EvaluationError: missing, unknown or repeated images, unknown categories, or non-finite
            numbers.
    """
    if iou_type not in ("bbox", "segm"):
        raise EvaluationError(f"iou_type must be 'bbox' or 'segm', got {iou_type!r}")
    image_ids = [int(i) for i in image_ids]
    check(truth, results, image_ids, iou_type)
    scored = coco_eval(truth, results, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints the metrics
        scored.summarize()
    names = class_names(truth)
    objects = _count(truth["annotations"])
    precision = scored.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, class): all areas, 100
    per_class = {
        names[category]: {
            "AP": mean_of_defined(precision[:, :, k]),
            "AP50": mean_of_defined(precision[0, :, k]),
            "objects": objects.get(category, 0),
        }
        for k, category in enumerate(scored.params.catIds)
    }
    numbers = (float(n) if n > -1 else None for n in scored.stats)
    return {**dict(zip(NAMES, numbers)), "per_class": per_class}


def coco_eval(truth: dict, results: list[dict], iou_type: str = "bbox", sizes: bool = True):
    """A `pycocotools.cocoeval.COCOeval` that has matched the results and accumulated precision.

    Annotation and result number k (from 0) have the id k + 1 in it.

    Args:
        truth, results, iou_type: as in `evaluate_coco`.
        sizes: False leaves out COCO's ranges of object areas, which takes a quarter of the time.
    """
    from pycocotools.cocoeval import COCOeval

    # pycocotools changes its arguments, and for it annotation id 0 means "no match". So it gets
    # copies with ids from 1.
    annotations = [_annotation(a, i) for i, a in enumerate(truth["annotations"], 1)]
    rows = [_result(r, i, iou_type) for i, r in enumerate(results, 1)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        scored = COCOeval(_index(truth, annotations), _index(truth, rows), iou_type)
        if not sizes:
            scored.params.areaRng = scored.params.areaRng[:1]
            scored.params.areaRngLbl = scored.params.areaRngLbl[:1]
        scored.evaluate()
        scored.accumulate()
    return scored


def _index(truth, annotations):
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": truth["images"],
        "categories": truth["categories"],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _annotation(annotation, number):
    area = annotation["bbox"][2] * annotation["bbox"][3]
    return {"area": area, "iscrowd": 0, **annotation, "id": number}


def _result(row, number, iou_type):
    if iou_type == "bbox":
        area = row["bbox"][2] * row["bbox"][3]
    else:
        from pycocotools import mask

        area = float(mask.area(row["segmentation"]))
    return {**row, "id": number, "area": area, "iscrowd": 0}


def _count(annotations):
    kinds = [a["category_id"] for a in annotations if not a.get("iscrowd", 0)]
    return dict(zip(*(v.tolist() for v in np.unique(kinds, return_counts=True)))) if kinds else {}


def mean_of_defined(values):
    """The mean of those precisions that pycocotools did not mark as undefined with -1, or None."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None
