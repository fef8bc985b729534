"""VOC folders (one XML per image) -> checked items. `convert_voc` makes a data set of them.

Corners are taken as written: xmin, ymin, xmax, ymax are the box's edges, not shifted by one, and
the stored bbox is (xmin, ymin, xmax - xmin, ymax - ymin). Difficult objects are kept and marked.
Images and objects are numbered from 1 in the order of the list.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.parsers import expat

from kdet.config import LabelMap
from kdet.data.convert.boxes import CLIPPED, check_box, clip_box
from kdet.data.convert.example_proto import Object
from kdet.data.convert.fields import FieldError, number_of
from kdet.data.convert.marks import marks, unexpected_box
from kdet.data.convert.source import Item, Problem, Source, read_file
from kdet.data.convert.voc_files import VocFiles
from kdet.data.convert.voc_list import read_lines, refuse_class_list
from kdet.data.convert.write import write_dataset
from kdet.errors import DataError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LINE = 80  # characters of a line of the list in an error


def convert_voc(
    devkit,
    list_file,
    out,
    labels=None,
    shards=None,
    workers=None,
    strict=False,
    allow_empty=False,
) -> dict:
    """Writes a VOC data set as TFRecord shards; what is wrong is left out and listed.

    Args:
        devkit: folder with JPEGImages/ and Annotations/ (or images/ and annotations/).
        list_file: text file, one image per line: its path with or without suffix, or "image xml"
            relative to `devkit`; see `kdet.data.convert.voc_files`.
        out: folder for the shards; the same call continues a killed conversion.
        labels: text file, one class name per line. Default: the classes found, sorted; splits of
            one data set need the same file, or their labels may differ.
        shards, workers, strict, allow_empty: as in `kdet.data.convert.coco.convert_coco`.
    Returns:
        The content of dataset.json.
    Raises:
        DataError: as `kdet.data.convert.coco.convert_coco`.
    """
    source = read_voc(devkit, list_file, labels)
    return write_dataset(source, out, shards, workers, strict, allow_empty)


def read_voc(devkit, list_file, labels=None) -> Source:
    """Reads and checks the listed XML files; images are not opened.

    Raises:
        DataError: the folder, the list or the label file cannot be used.
    """
    devkit, list_file = Path(devkit), Path(list_file)
    if not devkit.is_dir():
        raise DataError(f"{devkit}: expected a VOC folder")
    names = None
    if labels is not None:
        names = [name for _, name in read_lines(labels, "one class name")]
        if not names or len(set(names)) != len(names):
            raise DataError(f"{labels}: expected distinct class names, one per line")
    files, problems, digest = VocFiles(devkit), [], hashlib.sha256()
    found = _listed(files, list_file, problems, digest)
    if names is None:
        names = _names(found, list_file, problems)
    label_map = LabelMap(tuple(names), tuple(range(1, len(names) + 1)))
    source = Source("voc", list_file.name, digest.hexdigest(), label_map, [], problems)
    for number, image, xml, root, (height, width) in found:
        objects = []
        for position, element in enumerate(root.findall("object"), 1):
            source.annotated += 1
            try:
                objects.append(
                    _object(element, source.annotated, label_map, height, width, source.notes)
                )
            except FieldError as bad:
                problems.append(Problem(xml.name, f"object {position}", bad.field, str(bad)))
        name = files.record_name(image)
        source.items.append(Item(number, name, str(image), height, width, tuple(objects)))
    return source


def _listed(files, list_file, problems, digest):
    """(number, image, xml, root element, (height, width)) of every usable line of the list."""
    lines = read_lines(list_file, "one image")
    refuse_class_list(list_file, lines, files.is_image)
    listed, seen = [], set()
    for number, (place, line) in enumerate(lines, 1):
        try:
            found = files.find(line)
            root, text = _root(found.xml, problems)
            if root is None:
                continue
            image = files.choose(found, (root.findtext("filename") or "").strip())
        except FieldError as bad:
            message = f"{line[:_LINE]!r}: {bad}"
            problems.append(Problem(list_file.name, f"line {place}", "", message))
            continue
        if image in seen:
            message = f"{line[:_LINE]!r} comes twice"
            problems.append(Problem(list_file.name, f"line {place}", "", message))
            continue
        seen.add(image)
        try:
            listed.append((number, image, found.xml, root, _size(root)))
            digest.update(text)
        except FieldError as bad:
            problems.append(Problem(found.xml.name, "", bad.field, str(bad)))
    return listed


def _root(xml, problems):
    """The root element and the bytes of an XML file; None, and a problem more, if it is damaged."""
    try:
        text = read_file(xml)
        return _parse(text), text
    except (DataError, FieldError) as error:
        message = str(error).removeprefix(f"{xml}: ")
        problems.append(Problem(xml.name, "", getattr(error, "field", ""), message))
        return None, b""


def _names(found, list_file, problems):
    """The names of all objects, sorted. Raises DataError where there is none."""
    every = {n.text.strip() for f in found for n in f[3].findall("object/name") if n.text}
    names = sorted(every - {""})
    if not names:
        first = f"; first problem: {problems[0]}" if problems else ""
        raise DataError(
            f"{list_file}: expected at least one named object in the listed images, or a file of "
            f"class names (--labels){first}"
        )
    return names


def _parse(text):
    """The root of an XML text; document type declarations (and with them entities) are refused."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, FieldError):
            raise
        raise FieldError("", f"expected XML: {error}") from None
    return builder.close()


def _refuse_doctype(*_):
    raise FieldError("DOCTYPE", "expected plain XML without a document type declaration")


def _size(root):
    size = []
    for side in ("height", "width"):
        value = _number(root, f"size/{side}")
        if not 0 < value < 2**31 or value != int(value):
            raise FieldError(f"size/{side}", f"expected a positive whole number, got {value:g}")
        size.append(int(value))
    return tuple(size)


def _object(element, identity, labels, height, width, notes):
    name = _text(element, "name")
    if name not in labels.names:
        raise FieldError("name", f"expected one of {len(labels)} class names, got {name!r}")
    if element.find("bndbox") is None:
        other = unexpected_box([child.tag for child in element])
        raise FieldError("bndbox", f"expected an element, got nothing{other}")
    x1, y1, x2, y2 = (_number(element, f"bndbox/{corner}") for corner in _CORNERS)
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


def _text(element, field):
    found = element.find(field)
    if found is None:
        raise FieldError(field, "expected an element, got nothing")
    text = (found.text or "").strip()
    if not text:
        raise FieldError(field, "expected a text, got an empty element")
    return text


def _number(element, field):
    text = _text(element, field)
    value = number_of(text)
    if value is None:
        raise FieldError(field, f"expected a finite number, got {text[:40]!r}")
    return value
