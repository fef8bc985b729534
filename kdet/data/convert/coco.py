"""COCO annotation files -> checked items. `convert_coco` makes a data set of them."""

from __future__ import annotations

import collections
import hashlib
import json
from pathlib import Path

from kdet.config import LabelMap
from kdet.data.convert.boxes import CLIPPED, check_box, clip_box
from kdet.data.convert.combine import convert, paired
from kdet.data.convert.example_proto import Object
from kdet.data.convert.fields import (
    MISSING,
    FieldError,
    Ids,
    flag,
    integer,
    is_integer,
    is_number,
    shown,
    text_of,
)
from kdet.data.convert.marks import marks
from kdet.data.convert.paths import inside
from kdet.data.convert.source import Item, Problem, Source, read_file
from kdet.errors import DataError
from kdet.masks.rle import runs_from_string


def convert_coco(
    annotations,
    images,
    out,
    shards=None,
    workers=None,
    strict=False,
    allow_empty=False,
    **choices,
) -> dict:
    """Writes COCO data as TFRecord shards; what is wrong is left out and listed.

    Args:
        annotations: COCO instances json. A list of files makes one data set.
        images: folder the `file_name`s are relative to; or a list, with one for each file.
        out: folder for the shards; the same call continues a killed conversion.
        shards: number of shard files; default: about 64 MiB each.
        workers: processes that check images; default: one per CPU.
        strict: fail, with nothing written, where anything would be left out.
        allow_empty: also write a data set in which nothing is annotated.
        choices: the fields of `kdet.data.convert.combine.Choices`: `rename={"old": "new"}` and
            `only=["a", "b"]` change the classes, `empty="drop"` leaves out images without objects,
            and `split=0.8`, `split_seed` and `group` write `out`/train and `out`/val.
    Returns:
        The content of dataset.json; with `split`, {"train": content, "val": content}.
    Raises:
        DataError: the file is not COCO, no image is usable, there is no object to train on, `out`
            holds another data set, or `strict` and something is wrong.
        ConfigError: a choice is not valid.
    """
    pairs = paired(annotations, images, ("annotation files", "folders of images"))
    sources = [read_coco(*pair) for pair in pairs]
    return convert({None: sources}, out, shards, workers, strict, allow_empty, **choices)


def read_coco(annotations, images, kind: str = "coco") -> Source:
    """Reads and checks a COCO instances file; images are not opened.

    Labels are the ranks of category ids. Annotations keep their ids, boxes, areas, crowd flags,
    polygons and run lengths. Ids that are texts become integers (`kdet.data.convert.fields.Ids`);
    what other fields mean is in `kdet.data.convert.marks`.

    Raises:
        DataError: not JSON, or not of COCO's form.
    """
    path, images = Path(annotations), Path(images)
    if not images.is_dir():
        raise DataError(f"{images}: expected a folder of images")
    text = read_file(path)
    data = _parse(text, path)
    labels, category_ids = _labels(data["categories"], path)
    problems, notes = [], collections.Counter()
    image_ids, own_ids = Ids(data["images"]), Ids(data["annotations"])
    for name, ids in (("image", image_ids), ("annotation", own_ids), ("category", category_ids)):
        if ids.numbered:
            notes[f"{name} ids that are texts, numbered in their order"] = ids.numbered
    listed = _images(data["images"], images, image_ids, path, problems)
    broken = {image_ids.find(image) for image in data["images"]} - {None}
    objects, seen = collections.defaultdict(list), set()
    for position, annotation in enumerate(data["annotations"]):
        try:
            if not isinstance(annotation, dict):
                raise FieldError("", f"expected an object, got {shown(annotation)}")
            image_id = image_ids.read(annotation, "image_id")
            if image_id not in listed and image_id in broken:
                notes["annotations of images that were left out"] += 1
                continue
            if image_id not in listed:
                raise FieldError("image_id", f"expected the id of an image, got {image_id}")
            size, ids = listed[image_id][2:], (own_ids, category_ids)
            thing = _object(annotation, size, ids, labels, notes)
            if thing.id in seen:
                raise FieldError("id", f"expected distinct ids, got {thing.id} again")
            seen.add(thing.id)
            objects[image_id].append(thing)
        except FieldError as bad:
            where = _where("annotation", "annotations", annotation, position)
            problems.append(Problem(path.name, where, bad.field, str(bad)))
    items = [
        Item(i, name, file, h, w, tuple(objects[i])) for i, (name, file, h, w) in listed.items()
    ]
    digest, annotated = hashlib.sha256(text).hexdigest(), len(data["annotations"])
    return Source(kind, path.name, digest, labels, items, problems, notes, annotated)


def _parse(text, path):
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected a COCO json file: {error}") from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: expected a COCO json object, got {shown(data)}")
    for name in ("images", "annotations", "categories"):
        if not isinstance(data.get(name), list):
            came = shown(data[name]) if name in data else f"only {', '.join(data) or 'nothing'}"
            raise DataError(f"{path}: {name}: expected a list, got {came}")
    return data


def _labels(categories, path):
    """The label map, and the ids of the categories."""
    pairs, known = [], Ids(categories)
    for position, category in enumerate(categories):
        try:
            if not isinstance(category, dict):
                raise FieldError("", f"expected an object, got {shown(category)}")
            pairs.append((known.read(category), text_of(category, "name")))
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
    return LabelMap(tuple(name for _, name in pairs), tuple(ids)), known


def _images(images, folder, ids, path, problems):
    """{image id: (file name, path, height, width)} of the usable image entries."""
    listed = {}
    for position, image in enumerate(images):
        try:
            if not isinstance(image, dict):
                raise FieldError("", f"expected an object, got {shown(image)}")
            image_id = ids.read(image)
            if image_id in listed:
                raise FieldError("id", f"expected distinct ids, got {image_id} again")
            name = text_of(image, "file_name")
            file = inside(folder, name, "the image folder", "file_name")
            size = integer(image, "height"), integer(image, "width")
            for side, value in zip(("height", "width"), size):
                if not 0 < value < 2**31:
                    raise FieldError(side, f"expected a positive number of pixels, got {value}")
            listed[image_id] = (name, str(file), *size)
        except FieldError as bad:
            where = _where("image", "images", image, position)
            problems.append(Problem(path.name, where, bad.field, str(bad)))
    return listed


def _object(annotation, size, ids, labels, notes):
    own_ids, category_ids = ids
    category = category_ids.read(annotation, "category_id")
    try:
        label = labels.label_of(category)
    except KeyError:
        raise FieldError("category_id", f"expected the id of a category, got {category}") from None
    bbox = annotation.get("bbox", MISSING)
    if bbox is MISSING:
        raise FieldError("bbox", "expected x, y, width, height, got nothing")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(is_number, bbox)):
        turned = " (a rotated box?)" if isinstance(bbox, list) and len(bbox) == 5 else ""
        raise FieldError("bbox", f"expected four finite numbers, got {shown(bbox)}{turned}")
    clipped = check_box(bbox, *size)
    area = annotation.get("area", MISSING)
    if area is MISSING:
        _, _, width, height = clip_box(bbox, *size)
        area = width * height
    if not is_number(area) or area <= 0:
        raise FieldError("area", f"expected a positive number, got {shown(area)}")
    crowd = flag(annotation.get("iscrowd"), "iscrowd", notes)
    polygons, runs = _mask(annotation.get("segmentation"), *size, notes)
    identity, met = own_ids.read(annotation), collections.Counter()
    ignored, difficult = marks(annotation, met)
    notes.update(met)
    notes.update([CLIPPED] * clipped + ["annotations without area"] * ("area" not in annotation))
    crowd = int(crowd or ignored)
    return Object(identity, label, tuple(bbox), area, crowd, difficult, polygons, runs)


def _mask(segmentation, height, width, notes):
    """The polygons and the run lengths of a segmentation; one of the two is empty."""
    if segmentation is None or segmentation == []:
        return (), ()
    if isinstance(segmentation, dict):
        return (), _runs(segmentation, height, width)
    if not isinstance(segmentation, list):
        raise FieldError("segmentation", f"expected polygons or an RLE, got {shown(segmentation)}")
    polygons = []
    for polygon in segmentation:
        good = isinstance(polygon, list) and len(polygon) % 2 == 0 and all(map(is_number, polygon))
        if not good:
            raise FieldError(
                "segmentation", f"expected pairs of finite numbers, got {shown(polygon)}"
            )
        if len(polygon) < 6:
            notes["polygons of fewer than three points, left out"] += 1
        else:
            polygons.append(tuple(polygon))
    return tuple(polygons), ()


def _runs(rle, height, width):
    if rle.get("size") != [height, width]:
        raise FieldError(
            "segmentation.size", f"expected [{height}, {width}], got {shown(rle.get('size'))}"
        )
    counts = rle.get("counts")
    try:
        runs = runs_from_string(counts) if isinstance(counts, str) else counts
    except ValueError as error:
        raise FieldError("segmentation.counts", f"expected a compressed mask: {error}") from None
    if not isinstance(runs, list) or not all(is_integer(n) and n >= 0 for n in runs):
        raise FieldError("segmentation.counts", f"expected run lengths, got {shown(runs)}")
    if sum(runs) != height * width:
        raise FieldError(
            "segmentation.counts", f"expected {height * width} pixels, got {sum(runs)}"
        )
    return tuple(runs)


def _where(kind, list_name, record, position):
    """How to find a record: by its id, or by its place in the file."""
    if not isinstance(record, dict) or not isinstance(record.get("id"), (int, str)):
        return f"{list_name}[{position}]"
    image = record.get("image_id")
    of = f" of image {shown(image)}" if isinstance(image, (int, str)) else ""
    return f"{kind} {shown(record['id'])}{of}"
