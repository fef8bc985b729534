"""What the metrics compare with: annotations in COCO's form, and checks that results fit them."""

from __future__ import annotations

from collections import Counter

import numpy as np


class EvaluationError(ValueError):
    """Truth, predictions and evaluated images do not belong together; the text is one line."""


def check(truth: dict, results: list[dict], image_ids, geometry: str = "bbox"):
    """Raises EvaluationError unless every image was evaluated once and every row can be scored.

    Args:
        truth: COCO json form: "images", "annotations", "categories".
        results: COCO result rows.
        image_ids: ids of the evaluated images.
        geometry: "bbox" or "segm", what a row must hold besides image_id, category_id and score.
    """
    known = [image["id"] for image in truth["images"]]
    categories = {category["id"] for category in truth["categories"]}
    _refuse("truth has images more than once, ids", _repeated(known))
    _refuse("images were evaluated more than once, ids", _repeated(image_ids))
    _refuse("evaluated images are not in the truth, ids", set(image_ids) - set(known))
    _refuse("images of the truth were not evaluated, ids", set(known) - set(image_ids))
    known = set(known)
    for name, rows in (("annotations", truth["annotations"]), ("results", results)):
        try:
            images, kinds = {r["image_id"] for r in rows}, {r["category_id"] for r in rows}
        except (KeyError, TypeError) as error:
            raise EvaluationError(f"{name} need image_id and category_id: {error!r}") from None
        _refuse(f"{name} name unknown images, ids", images - known)
        _refuse(f"{name} name unknown categories, ids", kinds - categories)
    _numbers(results, lambda r: r["score"], "score", ())
    if geometry == "bbox":
        boxes = _numbers(results, lambda r: r["bbox"], "bbox", (4,))
        _refuse("bbox with a negative width or height in result rows", _rows(boxes[:, 2:] < 0))
    elif not all("segmentation" in row for row in results):
        missing = [i for i, row in enumerate(results) if "segmentation" not in row]
        _refuse("no segmentation in result rows", missing)


def class_names(truth: dict) -> dict[int, str]:
    """Category id -> name; the id is added where two categories share a name."""
    categories = truth["categories"]
    names = [c["name"] for c in categories]
    return {
        c["id"]: c["name"] if names.count(c["name"]) == 1 else f"{c['name']} ({c['id']})"
        for c in categories
    }


def _numbers(rows, get, name, shape):
    try:
        values = np.array([get(row) for row in rows], np.float64).reshape(len(rows), *shape)
    except (KeyError, TypeError, ValueError) as error:
        raise EvaluationError(f"every result row needs a {name} {shape or ''}: {error}") from None
    _refuse(f"non-finite {name} in result rows", _rows(~np.isfinite(values)))
    return values


def _rows(bad):
    return np.flatnonzero(bad.reshape(len(bad), int(np.prod(bad.shape[1:]))).any(axis=1)).tolist()


def _repeated(ids):
    return [i for i, times in Counter(ids).items() if times > 1]


def _refuse(said, offenders):
    if offenders:
        first = ", ".join(map(str, sorted(offenders)[:10]))
        more = f", ... ({len(offenders)} in all)" if len(offenders) > 10 else ""
        raise EvaluationError(f"{said}: {first}{more}")
