"""The images of VOC data with their XML files: those of a list, or all of a folder."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from xml.parsers import expat

from kdet.data.convert.fields import FieldError, number_of
from kdet.data.convert.image_files import upright_size
from kdet.data.convert.source import Problem, read_file
from kdet.data.convert.voc_list import read_lines, refuse_class_list
from kdet.errors import DataError

_LINE = 80  # characters of a line of the list in an error


def annotated_images(files, list_file, problems: list[Problem], digest) -> list[tuple]:
    """The images of a VOC folder, with their parsed XML files.

    Args:
        files: `kdet.data.convert.voc_files.VocFiles`.
        list_file: path of the list, or None for the whole folder.
        problems: gets an entry for each image that cannot be used.
        digest: hash that gets the bytes of each XML file.
    Returns:
        [(number, image, xml, root element, (height, width))]; the xml is None where an image of
        the whole folder has none.
    Raises:
        DataError: the list cannot be used.
    """
    found = []
    every = _listed(files, list_file, problems) if list_file else _whole_folder(files, problems)
    for number, image, xml, root, text in every:
        try:
            found.append((number, image, xml, root, _size(root)))
            digest.update(text)
        except FieldError as bad:
            problems.append(Problem(xml.name, "", bad.field, str(bad)))
    return found


def _listed(files, list_file, problems):
    """(number, image, xml, root element, bytes) of every line of the list that means an image."""
    lines = read_lines(list_file, "one image")
    refuse_class_list(list_file, lines, files.is_image)
    seen = set()
    for number, (place, line) in enumerate(lines, 1):
        message = None
        try:
            found = files.find(line)
            root, text = _root(found.xml, problems)
            if root is None:
                continue
            image = files.choose(found, (root.findtext("filename") or "").strip())
            if image in seen:
                message = f"{line[:_LINE]!r} comes twice"
        except FieldError as bad:
            message = f"{line[:_LINE]!r}: {bad}"
        if message:
            problems.append(Problem(list_file.name, f"line {place}", "", message))
            continue
        seen.add(image)
        yield number, image, found.xml, root, text


def _whole_folder(files, problems):
    """As `_listed`: all XML files, and then with the xml None the images that have no XML file."""
    seen, taken, last = set(), set(), 0
    for last, found in enumerate(files.every(), 1):
        seen.update(found.images)  # an image with a damaged XML file is not one without objects
        root, text = _root(found.xml, problems)
        if root is None:
            continue
        try:
            image = files.choose(found, (root.findtext("filename") or "").strip())
            if image in taken:
                raise FieldError("", f"another XML file belongs to {image.name}, too")
        except FieldError as bad:
            problems.append(Problem(found.xml.name, "", "", str(bad)))
            continue
        taken.add(image)
        yield last, image, found.xml, root, text
    others = [image for image in files.every_image() if image not in seen and image not in taken]
    for number, image in enumerate(others, last + 1):
        try:
            height, width = upright_size(image)
        except DataError as error:
            message = str(error).removeprefix(f"{image}: ")
            problems.append(Problem(files.record_name(image), f"image {number}", "", message))
            continue
        size = f"<size><height>{height}</height><width>{width}</width></size>"
        yield number, image, None, _parse(f"<annotation>{size}</annotation>".encode()), b""


def _root(xml, problems):
    """The root element and the bytes of an XML file; None, and a problem more, if it is damaged."""
    try:
        text = read_file(xml)
        return _parse(text), text
    except (DataError, FieldError) as error:
        message = str(error).removeprefix(f"{xml}: ")
        problems.append(Problem(xml.name, "", getattr(error, "field", ""), message))
        return None, b""


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
        value = number_in(root, f"size/{side}")
        if not 0 < value < 2**31 or value != int(value):
            raise FieldError(f"size/{side}", f"expected a positive whole number, got {value:g}")
        size.append(int(value))
    return tuple(size)


def text_in(element, field) -> str:
    """The text of an element below another. Raises FieldError where it is missing or empty."""
    found = element.find(field)
    if found is None:
        raise FieldError(field, "expected an element, got nothing")
    text = (found.text or "").strip()
    if not text:
        raise FieldError(field, "expected a text, got an empty element")
    return text


def number_in(element, field) -> float:
    """The finite number in an element. Raises FieldError where it is something else."""
    text = text_in(element, field)
    value = number_of(text)
    if value is None:
        raise FieldError(field, f"expected a finite number, got {text[:40]!r}")
    return value
