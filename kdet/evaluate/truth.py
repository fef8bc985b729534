"""Ground truth of the metrics: annotations in COCO's format, and checks of results."""

from __future__ import annotations

from collections import Counter

import numpy as np

from kdet.data.convert.boxes import clip_box
from kdet.errors import EvaluationError


def truth_of(records, masks: bool = False) -> dict:
    """The annotations of a data set in COCO's json format.

    Args:
        records: `kdet.data.records.Records`, or the folder of a data set.
        masks: True adds "segmentation" (polygons or uncompressed RLE) to objects that have one.

    Returns:
        "categories" in label order (entry k is label k, with its id in the source data), "images"
        and "annotations" (bbox x y w h, area as annotated, iscrowd, difficult). A box is exactly as
        annotated, as in the official COCO evaluation. A box that leaves the image is clipped to it,
        as in training (`kdet.data.decode.clip_boxes`).

    Raises:
        DataError: the data set is incomplete, or a shard is damaged.
        EvaluationError: a record does not fit the schema.
    """
    import tensorflow as tf

    from kdet.data.records import Records

    records = records if isinstance(records, Records) else Records.open(records)
    categories = [{"id": i, "name": n} for i, n in zip(records.labels.ids, records.labels.names)]
    truth = {"images": [], "annotations": [], "categories": categories}
    for number, payload in enumerate(records.iterate(records.payloads())):
        example = tf.train.Example.FromString(payload.numpy())
        try:
            image, annotations = _record(example, categories, masks)
        except (LookupError, ValueError) as error:
            raise EvaluationError(f"{records.folder}: record {number}: {error}") from None
        truth["images"].append(image)
        truth["annotations"] += annotations
    return truth


def _record(example, categories, masks):
    feature = example.features.feature

    def ints(name):
        return list(feature[name].int64_list.value)

    def doubles(name):
        return np.frombuffer(feature[name].bytes_list.value[0], "<f8")

    size = ints("image/height")[0], ints("image/width")[0]
    image = {"id": ints("image/id")[0], "height": size[0], "width": size[1]}
    image["file_name"] = feature["image/name"].bytes_list.value[0].decode()
    ids, labels, areas = ints("object/id"), ints("object/label"), doubles("object/area")
    boxes = doubles("object/bbox").reshape(-1, 4).tolist()
    boxes = [list(clip_box(box, *size)) for box in boxes]
    flags = ints("object/crowd"), ints("object/difficult")
    lengths = {len(column) for column in (ids, labels, areas, boxes, *flags)}
    if len(lengths) > 1:
        raise ValueError(f"object/* must have equal lengths, got {sorted(lengths)}")
    if labels and not 0 <= min(labels) <= max(labels) < len(categories):
        raise ValueError(f"object/label must be 0..{len(categories) - 1}, got {labels}")
    annotations = [
        {
            "id": i,
            "image_id": image["id"],
            "category_id": categories[label]["id"],
            "bbox": box,
            "area": area,
            "iscrowd": crowd,
            "difficult": difficult,
        }
        for i, label, box, area, crowd, difficult in zip(ids, labels, boxes, areas.tolist(), *flags)
    ]
    if masks:
        # The shortest decimal form of a float32 is the annotated number. The nearest float64 can
        # differ by 1e-6, and pycocotools rounds at 0.1 pixels, so masks would differ.
        points = np.array(feature["polygon/points"].float_list.value, np.float32)
        points = iter(points.astype(str).astype(np.float64).tolist())
        sizes, runs = iter(ints("polygon/sizes")), iter(ints("rle/lengths"))
        counts = ints("polygon/parts"), ints("rle/runs")
        for annotation, parts, length in zip(annotations, *counts, strict=True):
            polygons = [[next(points) for _ in range(2 * next(sizes))] for _ in range(parts)]
            rle = {"counts": [next(runs) for _ in range(length)], "size": list(size)}
            if parts or length:
                annotation["segmentation"] = polygons or rle
    return image, annotations


def check(truth: dict, results: list[dict], image_ids, geometry: str = "bbox"):
    """Raises EvaluationError unless every image was evaluated once and every row is complete.

    Args:
        truth: annotations as in a COCO file: "images", "annotations", "categories".
        results: COCO result rows.
        image_ids: ids of the evaluated images.
        geometry: "bbox" or "segm": the key of a row in addition to image_id, category_id, score.
    """
    known = [image["id"] for image in truth["images"]]
    categories = {category["id"] for category in truth["categories"]}
    _refuse("the ground truth has images more than once, ids", _repeated(known))
    _refuse("images were evaluated more than once, ids", _repeated(image_ids))
    _refuse("evaluated images are not in the ground truth, ids", set(image_ids) - set(known))
    _refuse("images of the ground truth were not evaluated, ids", set(known) - set(image_ids))
    known = set(known)
    for name, rows in (("annotations", truth["annotations"]), ("results", results)):
        try:
            images, kinds = {r["image_id"] for r in rows}, {r["category_id"] for r in rows}
        except (KeyError, TypeError) as error:
            raise EvaluationError(f"{name} need image_id and category_id: {error!r}") from None
        _refuse(f"{name} have unknown images, ids", images - known)
        _refuse(f"{name} have unknown categories, ids", kinds - categories)
    _numbers(results, lambda r: r["score"], "score", ())
    if geometry == "bbox":
        _numbers(results, lambda r: r["bbox"], "bbox", (4,))
    elif not all("segmentation" in row for row in results):
        missing = [i for i, row in enumerate(results) if "segmentation" not in row]
        _refuse("no segmentation in result rows", missing)


def has_masks(truth: dict) -> bool:
    """Whether the objects have masks. Raises EvaluationError if only some of them have masks."""
    annotations = truth["annotations"]
    missing = [a["id"] for a in annotations if "segmentation" not in a]
    if len(missing) < len(annotations):
        _refuse("some objects have masks and others have none, annotation ids", missing)
    return len(missing) < len(annotations)


def class_names(truth: dict) -> dict[int, str]:
    """Category id -> name. The id is added to the name if two categories have the same name."""
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
    finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    _refuse(f"non-finite {name} in result rows", np.flatnonzero(~finite).tolist())


def _repeated(ids):
    return [i for i, times in Counter(ids).items() if times > 1]


def _refuse(message, offenders):
    if offenders:
        first = ", ".join(map(str, sorted(offenders)[:10]))
        more = f", ... ({len(offenders)} in all)" if len(offenders) > 10 else ""
        raise EvaluationError(f"{message}: {first}{more}")
