"""YOLO labels (one text file per image) -> checked items. `convert_yolo` makes a data set of them.

A line is `class cx cy w h`, a box by its centre, or `class x1 y1 x2 y2 x3 y3 ...`, a polygon, whose
box goes around its points. All numbers but the class are shares of the upright image's width and
height, 0..1. The labels of images/a/1.jpg are in labels/a/1.txt, or else in images/a/1.txt. An
image without such a file has no objects. Images and objects are numbered from 1 in each set.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tqdm import tqdm

from kdet.data.convert.boxes import CLIPPED, check_box, clip_box
from kdet.data.convert.combine import convert
from kdet.data.convert.example_proto import Object
from kdet.data.convert.fields import FieldError, number_of, shown, whole
from kdet.data.convert.image_files import upright_size
from kdet.data.convert.paths import is_file
from kdet.data.convert.source import UNLABELLED, Item, Problem, Source
from kdet.data.convert.voc_list import read_lines
from kdet.data.convert.yolo_files import YoloFiles
from kdet.errors import ConfigError, DataError

_ROUNDING = 1e-5  # of a side; the files have about six digits


def convert_yolo(
    data, out, set_name=None, shards=None, workers=None, strict=False, allow_empty=False, **choices
) -> dict:
    """Writes data sets with YOLO labels as TFRecord shards; what is wrong is left out and listed.

    Args:
        data: data.yaml, a folder with it, or a folder with classes.txt or obj.names; or a list of
            these, to make one data set of them.
        out: parent of the folders train/, val/ and test/; or the folder of the shards where only
            one set is written: with `set_name`, and where the data is not divided into sets.
        set_name: "train", "val" or "test"; default: every set.
        shards, workers, strict, allow_empty, choices: as in `kdet.data.convert.coco.convert_coco`.
    Returns:
        The content of dataset.json; with several sets, a dict of them by name.
    Raises:
        DataError: as `kdet.data.convert.coco.convert_coco`.
        ConfigError: `set_name` is unknown, or a choice is not valid.
    """
    sets = {}
    for each in data if isinstance(data, (list, tuple)) else [data]:
        for name, source in read_yolo(each, set_name and (set_name,)).items():
            sets.setdefault(None if set_name else name, []).append(source)
    if None in sets and len(sets) > 1:
        sets.setdefault("train", []).extend(sets.pop(None))
    return convert(sets, out, shards, workers, strict, allow_empty, **choices)


def read_yolo(data, sets=None) -> dict:
    """Reads and checks label files; of the images, only the sizes are read.

    Args:
        data: data.yaml, a folder with it, or a folder with classes.txt or obj.names.
        sets: names of the sets to read; default: all.
    Returns:
        {name of the set, or None where there is only one without a name: `Source`}. Labels are
        the ranks of the class ids.
    Raises:
        DataError: the description cannot be used, or a folder or list that it names is missing.
        ConfigError: one of `sets` is unknown.
    """
    files = YoloFiles(data)
    for name in sets or ():
        if name not in files.sets:
            known = ", ".join(str(name) for name in files.sets if name) or "no sets"
            raise ConfigError(f"{files.path}: expected a set {name!r}, but it names {known}")
    return {name: _read_set(files, name) for name in sets or files.sets}


def _read_set(files, name):
    said = " ".join(filter(None, (files.path.name, name)))
    source = Source("yolo", said, "", files.labels, [])
    images = files.images(name, source.problems)
    top = os.path.commonpath([path.parent for path in images]) if images else ""
    digest = hashlib.sha256(files.text)
    for number, path in enumerate(tqdm(images, said, unit="image", disable=None), 1):
        name, labels = path.relative_to(top).as_posix(), label_file(path)
        try:
            lines = read_lines(labels, "one object") if labels else []
        except DataError as error:
            message = str(error).removeprefix(f"{labels}: ")
            source.problems.append(Problem(files.shown(labels), "", "", message))
            continue
        try:
            size = upright_size(path)
        except DataError as error:
            message = str(error).removeprefix(f"{path}: ")
            source.problems.append(Problem(name, f"image {number}", "", message))
            continue
        source.notes[UNLABELLED] += not labels
        digest.update(repr((name, lines)).encode())
        objects = _objects(lines, size, files, labels, source)
        source.items.append(Item(number, name, str(path), *size, objects))
    source.digest = digest.hexdigest()
    source.notes += {}  # without zeros
    return source


def label_file(image: Path) -> Path | None:
    """The label file of an image, or None where it has none."""
    places, parts = [image.with_suffix(".txt")], image.parts
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        places.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt"))
    return next(filter(is_file, places), None)


def _objects(lines, size, files, file, source):
    objects, seen = [], set()
    for place, line in lines:
        words = tuple(line.split())
        if words in seen:
            source.notes["lines that repeat another line of their label file, left out"] += 1
            continue
        seen.add(words)
        source.annotated += 1
        try:
            objects.append(_object(words, size, files, source))
        except FieldError as bad:
            where = f"line {place}"
            source.problems.append(Problem(files.shown(file), where, bad.field, str(bad)))
    return tuple(objects)


def _object(words, size, files, source):
    """The object of one line."""
    (height, width), count = size, len(words) - 1
    if files.key_points and count > 4:
        source.notes["objects with key points, of which only the box is used"] += 1
        count = 4
    if count != 4 and (count < 6 or count % 2):
        raise FieldError(
            "", f"expected a class and 4 numbers, or 3 or more points, got {len(words)} values"
        )
    number = whole(number_of(words[0]))
    try:
        label = files.labels.label_of(number)
    except KeyError:
        ids = ", ".join(map(str, files.labels.ids[:20]))
        raise FieldError("class", f"expected one of {ids}, got {shown(words[0])}") from None
    names = (
        ("cx", "cy", "w", "h")
        if count == 4
        else [f"{'xy'[k % 2]}{k // 2 + 1}" for k in range(count)]
    )
    values = [_share(word, name) for word, name in zip(words[1:], names)]
    if count == 4:
        cx, cy, w, h = values
        corners, polygons = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), ()
    else:
        xs, ys = values[::2], values[1::2]
        corners = min(xs), min(ys), max(xs), max(ys)
        polygons = (tuple(v for x, y in zip(xs, ys) for v in (x * width, y * height)),)
    x1, y1, x2, y2 = map(_snapped, corners)
    bbox = x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height
    source.notes.update([CLIPPED] * check_box(bbox, height, width))
    _, _, inside_width, inside_height = clip_box(bbox, height, width)
    area = (polygons and _area(polygons[0])) or inside_width * inside_height
    return Object(source.annotated, label, bbox, area, polygons=polygons)


def _share(word, field):
    value = number_of(word)
    if value is None or not -_ROUNDING <= value <= 1 + _ROUNDING:
        raise FieldError(field, f"expected a number of 0..1, got {shown(word)}")
    return value


def _snapped(value):
    """A coordinate; at the image's border where it is outside by no more than a rounding error."""
    return min(max(value, 0), 1) if -_ROUNDING < value < 1 + _ROUNDING else value


def _area(points):
    """Square pixels inside a polygon x y x y ...; 0 for a line."""
    xs, ys = points[::2], points[1::2]
    following = zip(xs[1:] + xs[:1], ys[1:] + ys[:1])
    return abs(sum(x * b - a * y for x, y, (a, b) in zip(xs, ys, following))) / 2
