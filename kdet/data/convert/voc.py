"""VOC folders (one XML per image) -> checked items. `convert_voc` makes a data set of them.

Corners are taken as written: xmin, ymin, xmax, ymax are the box's edges, not shifted by one, and
the stored bbox is (xmin, ymin, xmax - xmin, ymax - ymin). Difficult objects are kept and marked.
Images and objects are numbered from 1 in the order of the list, or of the paths of the XML files.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from kdet.config import LabelMap
from kdet.data.convert.boxes import CLIPPED, check_box, clip_box
from kdet.data.convert.combine import convert, paired
from kdet.data.convert.example_proto import Object
from kdet.data.convert.fields import FieldError
from kdet.data.convert.marks import marks, unexpected_box
from kdet.data.convert.source import UNLABELLED, Item, Problem, Source
from kdet.data.convert.voc_files import VocFiles
from kdet.data.convert.voc_list import read_lines
from kdet.data.convert.voc_xml import annotated_images, number_in, text_in
from kdet.errors import DataError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def convert_voc(
    devkit,
    list_file,
    out,
    labels=None,
    shards=None,
    workers=None,
    strict=False,
    allow_empty=False,
    **choices,
) -> dict:
    """Writes VOC data as TFRecord shards; what is wrong is left out and listed.

    Args:
        devkit: folder with JPEGImages/ and Annotations/ (or images/ and annotations/), or one in
            which images and XML files lie side by side. A list of folders makes one data set.
        list_file: text file, one image per line: its path with or without suffix, or "image xml"
            relative to `devkit`; see `kdet.data.convert.voc_files`. None takes the whole folder:
            every XML file, and every image without XML file as an image without objects. A list of
            files has one for each folder.
        out: folder for the shards; the same call continues a killed conversion.
        labels: text file, one class name per line. Default: the classes found, sorted; splits of
            one data set need the same file, or their labels may differ.
        shards, workers, strict, allow_empty, choices: as in `kdet.data.convert.coco.convert_coco`.
    Returns:
        The content of dataset.json; with `split`, {"train": content, "val": content}.
    Raises:
        DataError, ConfigError: as `kdet.data.convert.coco.convert_coco`.
    """
    pairs = paired(devkit, list_file, ("folders", "lists"))
    sources = [read_voc(*pair, labels) for pair in pairs]
    return convert({None: sources}, out, shards, workers, strict, allow_empty, **choices)


def read_voc(devkit, list_file=None, labels=None) -> Source:
    """Reads and checks the listed XML files, or all; images are not opened.

    Raises:
        DataError: the folder, the list or the label file cannot be used.
    """
    devkit = Path(devkit)
    if not devkit.is_dir():
        raise DataError(f"{devkit}: expected a VOC folder")
    names = None
    if labels is not None:
        names = [name for _, name in read_lines(labels, "one class name")]
        if not names or len(set(names)) != len(names):
            raise DataError(f"{labels}: expected distinct class names, one per line")
    source = Source("voc", Path(list_file or devkit.resolve()).name, "", LabelMap((), ()), [])
    files, problems, digest = VocFiles(devkit), source.problems, hashlib.sha256()
    found = annotated_images(files, list_file and Path(list_file), problems, digest)
    if names is None:
        names = _names(found, list_file or devkit, problems)
    source.digest = digest.hexdigest()
    source.labels = LabelMap(tuple(names), tuple(range(1, len(names) + 1)))
    for number, image, xml, root, (height, width) in found:
        objects = []
        for position, element in enumerate(root.findall("object"), 1):
            source.annotated += 1
            try:
                objects.append(
                    _object(element, source.annotated, source.labels, height, width, source.notes)
                )
            except FieldError as bad:
                problems.append(Problem(xml.name, f"object {position}", bad.field, str(bad)))
        name = files.record_name(image)
        source.items.append(Item(number, name, str(image), height, width, tuple(objects)))
        source.notes.update([UNLABELLED] * (xml is None))
    return source


def _names(found, place, problems):
    """The names of all objects, sorted. Raises DataError where there is none."""
    every = {n.text.strip() for f in found for n in f[3].findall("object/name") if n.text}
    names = sorted(every - {""})
    if not names:
        first = f"; first problem: {problems[0]}" if problems else ""
        raise DataError(
            f"{place}: expected at least one named object in the images, or a file of class names "
            f"(--labels){first}"
        )
    return names


def _object(element, identity, labels, height, width, notes):
    name = text_in(element, "name")
    if name not in labels.names:
        raise FieldError("name", f"expected one of {len(labels)} class names, got {name!r}")
    if element.find("bndbox") is None:
        other = unexpected_box([child.tag for child in element])
        raise FieldError("bndbox", f"expected an element, got nothing{other}")
    x1, y1, x2, y2 = (number_in(element, f"bndbox/{corner}") for corner in _CORNERS)
    bbox = (x1, y1, x2 - x1, y2 - y1)
    try:
        clipped = check_box(bbox, height, width)
    except FieldError as bad:
        raise FieldError("bndbox", str(bad)) from None
    ignored, difficult = marks(_fields(element), notes)
    notes.update([CLIPPED] * clipped)
    _, _, inside_width, inside_height = clip_box(bbox, height, width)
    label, area = labels.names.index(name), inside_width * inside_height
    return Object(identity, label, bbox, area, ignored, difficult)


def _fields(element):
    """The texts of an object's elements by name; CVAT's attributes under "attributes"."""
    fields = {child.tag: child.text or "" for child in element}
    fields["attributes"] = {
        (attribute.findtext("name") or "").strip(): attribute.findtext("value") or ""
        for attribute in element.findall("attributes/attribute")
    }
    return fields
