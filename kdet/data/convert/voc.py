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

_IMAGE_FOLDERS = ("JPEGImages", "images")
_XML_FOLDERS = ("Annotations", "annotations")
_ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def convert_voc(
    devkit, list_file, out, labels=None, shards=None, workers=None, strict=False
) -> dict:
    """Writes a VOC data set as TFRecord shards; what is wrong is left out and listed.

    Args:
        devkit: folder with JPEGImages/ and Annotations/ (or images/ and annotations/).
        list_file: text file, one image per line: its stem, or "image xml" relative to `devkit`.
        out: folder for the shards; a killed conversion goes on where it stopped.
        labels: text file, one class name per line. Default: the classes found, sorted; splits of
            one data set need the same file, or their labels may differ.
        shards, workers, strict: as in `kdet.data.convert.coco.convert_coco`.
    Returns:
        The content of dataset.json.
    Raises:
        DataError: as `kdet.data.convert.coco.convert_coco`.
    """
    return write_dataset(read_voc(devkit, list_file, labels), out, shards, workers, strict)


def read_voc(devkit, list_file, labels=None) -> Source:
    """Reads and checks the listed XML files; images are not opened.

    Raises:
        DataError: the folder, the list or the label file cannot be used.
    """
    devkit, list_file = Path(devkit), Path(list_file)
    if not devkit.is_dir():
        raise DataError(f"{devkit}: expected a VOC folder")
    names = _lines(labels) if labels is not None else None
    if names is not None and (not names or len(set(names)) != len(names)):
        raise DataError(f"{labels}: expected distinct class names, one per line")
    digest, problems, found, seen = hashlib.sha256(), [], [], set()
    for number, line in enumerate(_lines(list_file), 1):
        image, xml = _pair(devkit, line)
        if image in seen:
            problems.append(Problem(list_file.name, f"image {number}", "", f"{line!r} comes twice"))
            continue
        seen.add(image)
        try:
            text = read_file(xml)
            root = _parse(text)
            found.append((number, image, xml, root, _size(root)))
            digest.update(text)
        except (DataError, FieldError) as error:
            message = str(error).removeprefix(f"{xml}: ")
            problems.append(Problem(xml.name, "", getattr(error, "field", ""), message))
    if names is None:
        every = {n.text.strip() for f in found for n in f[3].findall("object/name") if n.text}
        names = sorted(every - {""})
        if not names:
            raise DataError(f"{list_file}: expected at least one named object in the listed images")
    label_map = LabelMap(tuple(names), tuple(range(1, len(names) + 1)))
    source = Source("voc", list_file.name, "", label_map, [], problems)
    count = 0
    for number, image, xml, root, (height, width) in found:
        objects = []
        for position, element in enumerate(root.findall("object"), 1):
            count += 1
            try:
                objects.append(_object(element, count, label_map, height, width, source.notes))
            except FieldError as bad:
                problems.append(Problem(xml.name, f"object {position}", bad.field, str(bad)))
        item = Item(number, image.name, str(image), height, width, tuple(objects))
        source.items.append(item)
    source.digest = digest.hexdigest()
    return source


def _lines(path):
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected UTF-8 text") from None
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line]


def _pair(devkit, line):
    """Paths of the image and the XML file that a line of the list means."""
    parts = line.split()
    if len(parts) == 2 and parts[1].lower().endswith(".xml"):
        return devkit / parts[0], devkit / parts[1]
    stem = Path(line).with_suffix("").name if line.endswith(_ENDINGS) else line
    images = [devkit / f / (stem + e) for f in _IMAGE_FOLDERS for e in _ENDINGS]
    xmls = [devkit / f / f"{stem}.xml" for f in _XML_FOLDERS]
    return (next((p for p in paths if p.is_file()), paths[0]) for paths in (images, xmls))


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
    x1, y1, x2, y2 = (_number(element, f"bndbox/{corner}") for corner in _CORNERS)
    bbox = (x1, y1, x2 - x1, y2 - y1)
    try:
        clipped = check_box(bbox, height, width)
    except FieldError as bad:
        raise FieldError("bndbox", str(bad)) from None
    difficult = _number(element, "difficult") if element.find("difficult") is not None else 0
    if difficult not in (0, 1):
        raise FieldError("difficult", f"expected 0 or 1, got {difficult:g}")
    notes.update([CLIPPED] * clipped)
    label = labels.names.index(name)
    return Object(identity, label, bbox, bbox[2] * bbox[3], difficult=int(difficult))


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
    try:
        value = float(text)
    except ValueError:
        raise FieldError(field, f"expected a number, got {text[:40]!r}") from None
    if not abs(value) < 1e9:
        raise FieldError(field, f"expected a finite number, got {text[:40]!r}")
    return value
