"""COCO annotation files -> checked items. `convert_coco` makes a data set of them."""

from __future__ import annotations

import collections
import hashlib
import json
from pathlib import Path

from kdet.config import LabelMap
from kdet.data.convert.example_proto import Object
from kdet.data.convert.source import (
    CLIPPED,
    FieldError,
    Item,
    Problem,
    Source,
    check_box,
    read_file,
)
from kdet.data.convert.write import write_dataset
from kdet.errors import DataError
from kdet.masks.rle import runs_from_string

_REQUIRED = object()


def convert_coco(annotations, images, out, shards=None, workers=None, strict=False) -> dict:
    """Writes a COCO data set as TFRecord shards; what is wrong is left out and listed.

    Args:
        annotations: COCO instances json.
        images: folder the `file_name`s are relative to.
        out: folder for the shards; a killed conversion goes on where it stopped.
        shards: number of shard files; default: about 64 MiB each.
        workers: processes that check images; default: one per CPU.
        strict: fail, with nothing written, where anything would be left out.
    Returns:
        The content of dataset.json.
    Raises:
        DataError: the file is not COCO, no image is usable, `out` holds another data set, or
            `strict` and something is wrong.
    """
    return write_dataset(read_coco(annotations, images), out, shards, workers, strict)


def read_coco(annotations, images, kind: str = "coco") -> Source:
    """Reads and checks a COCO instances file; images are not opened.

    Labels are the ranks of category ids. Annotations keep their ids, boxes, areas, crowd flags,
    polygons and run lengths.

    Raises:
        DataError: not JSON, or not of COCO's form.
    """
    path, images = Path(annotations), Path(images)
    if not images.is_dir():
        raise DataError(f"{images}: expected a folder of images")
    text = read_file(path)
    data = _parse(text, path)
    labels = _labels(data["categories"], path)
    problems, notes = [], collections.Counter()
    listed = _images(data["images"], path, problems)
    broken = {i["id"] for i in data["images"] if isinstance(i, dict) and _is_id(i.get("id"))}
    objects = collections.defaultdict(list)
    seen = set()
    for position, annotation in enumerate(data["annotations"]):
        try:
            if not isinstance(annotation, dict):
                raise FieldError("", f"expected an object, got {_shown(annotation)}")
            image_id = integer(annotation, "image_id")
            if image_id not in listed and image_id in broken:
                notes["annotations of images that were left out"] += 1
                continue
            thing = _object(annotation, listed.get(image_id), labels, notes)
            if thing.id in seen:
                raise FieldError("id", f"expected distinct ids, got {thing.id} again")
            seen.add(thing.id)
            objects[image_id].append(thing)
        except FieldError as bad:
            where = _where("annotation", "annotations", annotation, position)
            problems.append(Problem(path.name, where, bad.field, str(bad)))
    items = [
        Item(i, name, str(images / name), h, w, tuple(objects[i]))
        for i, (name, h, w) in listed.items()
    ]
    digest = hashlib.sha256(text).hexdigest()
    return Source(kind, path.name, digest, labels, items, problems, notes)


def _parse(text, path):
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected a COCO json file: {error}") from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: expected a COCO json object, got {_shown(data)}")
    for name in ("images", "annotations", "categories"):
        if not isinstance(data.get(name), list):
            came = _shown(data[name]) if name in data else f"only {', '.join(data) or 'nothing'}"
            raise DataError(f"{path}: {name}: expected a list, got {came}")
    return data


def _labels(categories, path):
    pairs = []
    for position, category in enumerate(categories):
        try:
            if not isinstance(category, dict):
                raise FieldError("", f"expected an object, got {_shown(category)}")
            pairs.append((integer(category, "id"), text_of(category, "name")))
        except FieldError as bad:
            where = f"categories[{position}]" + (f".{bad.field}" if bad.field else "")
            raise DataError(f"{path}: {where}: {bad}") from None
    pairs.sort()
    ids = [i for i, _ in pairs]
    for i, count in collections.Counter(ids).items():
        if count > 1:
            raise DataError(f"{path}: categories: id: expected distinct ids, got {i} twice")
    if not pairs:
        raise DataError(f"{path}: categories: expected at least one, got an empty list")
    return LabelMap(tuple(name for _, name in pairs), tuple(ids))


def _images(images, path, problems):
    """{image id: (file name, height, width)} of the usable image entries."""
    listed = {}
    for position, image in enumerate(images):
        try:
            if not isinstance(image, dict):
                raise FieldError("", f"expected an object, got {_shown(image)}")
            image_id = integer(image, "id")
            if image_id in listed:
                raise FieldError("id", f"expected distinct ids, got {image_id} again")
            name = text_of(image, "file_name")
            if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
                raise FieldError(
                    "file_name", f"expected a path inside the image folder, got {name!r}"
                )
            size = integer(image, "height"), integer(image, "width")
            for side, value in zip(("height", "width"), size):
                if not 0 < value < 2**31:
                    raise FieldError(side, f"expected a positive number of pixels, got {value}")
            listed[image_id] = (name, *size)
        except FieldError as bad:
            where = _where("image", "images", image, position)
            problems.append(Problem(path.name, where, bad.field, str(bad)))
    return listed


def _object(annotation, image, labels, notes):
    if image is None:
        raise FieldError("image_id", f"expected the id of an image, got {annotation['image_id']}")
    _, height, width = image
    category = integer(annotation, "category_id")
    try:
        label = labels.label_of(category)
    except KeyError:
        raise FieldError("category_id", f"expected the id of a category, got {category}") from None
    bbox = annotation.get("bbox", _REQUIRED)
    if bbox is _REQUIRED:
        raise FieldError("bbox", "expected x, y, width, height, got nothing")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise FieldError("bbox", f"expected four finite numbers, got {_shown(bbox)}")
    clipped = check_box(bbox, height, width)
    area = annotation.get("area", bbox[2] * bbox[3])
    if not _is_number(area) or area <= 0:
        raise FieldError("area", f"expected a positive number, got {_shown(area)}")
    crowd = annotation.get("iscrowd", 0)
    if crowd not in (0, 1) or isinstance(crowd, float):
        raise FieldError("iscrowd", f"expected 0 or 1, got {_shown(crowd)}")
    polygons, runs = _mask(annotation.get("segmentation"), height, width, notes)
    identity = integer(annotation, "id")
    notes.update([CLIPPED] * clipped + ["annotations without area"] * ("area" not in annotation))
    return Object(identity, label, tuple(bbox), area, int(crowd), 0, polygons=polygons, runs=runs)


def _mask(segmentation, height, width, notes):
    """The polygons and the run lengths of a segmentation; one of the two is empty."""
    if segmentation is None or segmentation == []:
        return (), ()
    if isinstance(segmentation, dict):
        return (), _runs(segmentation, height, width)
    if not isinstance(segmentation, list):
        raise FieldError("segmentation", f"expected polygons or an RLE, got {_shown(segmentation)}")
    polygons = []
    for polygon in segmentation:
        good = isinstance(polygon, list) and len(polygon) % 2 == 0 and all(map(_is_number, polygon))
        if not good:
            raise FieldError(
                "segmentation", f"expected pairs of finite numbers, got {_shown(polygon)}"
            )
        if len(polygon) < 6:
            notes["polygons of fewer than three points, left out"] += 1
        else:
            polygons.append(tuple(polygon))
    return tuple(polygons), ()


def _runs(rle, height, width):
    if rle.get("size") != [height, width]:
        raise FieldError(
            "segmentation.size", f"expected [{height}, {width}], got {_shown(rle.get('size'))}"
        )
    counts = rle.get("counts")
    try:
        runs = runs_from_string(counts) if isinstance(counts, str) else counts
    except ValueError as error:
        raise FieldError("segmentation.counts", f"expected a compressed mask: {error}") from None
    if not isinstance(runs, list) or not all(_is_id(n) and n >= 0 for n in runs):
        raise FieldError("segmentation.counts", f"expected run lengths, got {_shown(runs)}")
    if sum(runs) != height * width:
        raise FieldError(
            "segmentation.counts", f"expected {height * width} pixels, got {sum(runs)}"
        )
    return tuple(runs)


def integer(record: dict, field: str) -> int:
    """A 64-bit integer field. Raises FieldError where it is missing or something else."""
    value = record.get(field, _REQUIRED)
    if not _is_id(value):
        raise FieldError(field, f"expected an integer, got {_shown(value)}")
    return value


def text_of(record: dict, field: str) -> str:
    """A text field that is not empty. Raises FieldError where it is missing or something else."""
    value = record.get(field, _REQUIRED)
    if not isinstance(value, str) or not value:
        raise FieldError(field, f"expected a text, got {_shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FieldError(field, f"expected text that UTF-8 can hold, got {value!a}") from None
    return value


def _is_id(value):
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 10**9  # False for NaN and infinity too


def _where(kind, list_name, record, position):
    """How to find a record: by its id, or by its place in the file."""
    if not isinstance(record, dict) or not _is_id(record.get("id")):
        return f"{list_name}[{position}]"
    image = record.get("image_id")
    return f"{kind} {record['id']}" + (f" of image {image}" if _is_id(image) else "")


def _shown(value):
    """A short rendering of a value for an error line."""
    if value is _REQUIRED:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
