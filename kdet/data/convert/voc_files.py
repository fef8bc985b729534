"""Lines of a VOC image list, or a whole folder -> the images and their XML files.

The file that is named is the file that is used. A line is an image's path with or without suffix,
relative to JPEGImages/ (or images/); its XML has the same path below Annotations/ (or
annotations/). Or it is "image xml", both relative to the VOC folder. Sub-folders count: dog/001.jpg
belongs to Annotations/dog/001.xml. A name without suffix that fits several images means the one
that the XML's <filename> names; where that does not tell, it is an error.

A folder without JPEGImages/ or images/ has its images, and one without Annotations/ or annotations/
its XML files, in itself and its sub-folders.
"""

from __future__ import annotations

import collections
import os
import re
import unicodedata
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from kdet.data.convert.fields import FieldError
from kdet.data.convert.paths import IMAGES, files_below, inside, is_file

_IMAGE_FOLDERS = ("JPEGImages", "images")
_XML_FOLDERS = ("Annotations", "annotations")
_XML = ".xml"
_FOLDER = "the VOC folder"


class Found(NamedTuple):
    """The files that a line means: its XML, and all images that fit; none where only <filename>
    can tell. `exact` says that the image was named with its suffix."""

    images: list[Path]
    xml: Path
    exact: bool


class VocFiles:
    """The files of a VOC folder, by the names that lists and XML files use."""

    def __init__(self, devkit):
        self._devkit = Path(devkit)
        self._images = self._folders(_IMAGE_FOLDERS)
        self._xmls = self._folders(_XML_FOLDERS)
        self._listings = {}

    def find(self, line: str) -> Found:
        """The files that a line means.

        Raises:
            FieldError: no such image or XML file, several that fit, or a path out of the folder.
        """
        if line.lower().endswith(_XML):
            if " " in line or "\t" in line:
                return self._pair(line)
            line = self._below(line, self._xmls)[: -len(_XML)]
        exact = self._named(line) if line.lower().endswith(IMAGES) else []
        images = exact or self._with_stem(line, self._images, IMAGES)
        if len(exact) > 1:
            raise FieldError("", self._several(exact))
        if not images and line.lower().endswith(IMAGES):
            raise FieldError("", f"found no image {self._shown(self._images[0] / _plain(line))}")
        return Found(images, self._xml_of(line, images), bool(exact))

    def every(self) -> list[Found]:
        """All XML files of the folder, each with the images that fit, sorted by path."""
        found = []
        for folder in self._xmls:
            for xml in files_below(folder, (_XML,)):
                stem = xml.relative_to(folder).as_posix()[: -len(_XML)]
                named = self._named(stem) if stem.lower().endswith(IMAGES) else []
                images = named or self._with_stem(stem, self._images, IMAGES)
                found.append(Found(images, xml, len(named) == 1))
        return found

    def every_image(self) -> list[Path]:
        """All images of the folder, sorted by path."""
        return [path for folder in self._images for path in files_below(folder, IMAGES)]

    def choose(self, found: Found, filename: str) -> Path:
        """The one image of a line, after its XML was read.

        Args:
            found: what `find` returned.
            filename: the XML's <filename>; "" without one.
        Raises:
            FieldError: several images fit, or none, and the XML does not tell which.
        """
        if found.exact:
            return found.images[0]
        named = self._called(filename, found)
        images = named if len(named) == 1 else found.images
        if len(images) == 1:
            return images[0]
        if images:
            raise FieldError("", f"{self._several(images)}; name one with its suffix")
        wanted = self._images[0] / self._below_folder(found.xml, self._xmls).with_suffix("")
        expected = f"{self._shown(wanted)} with one of the suffixes {', '.join(IMAGES)}"
        also = f", nor {filename[:80]!r} of its XML" if filename else ""
        raise FieldError("", f"found no image {expected}{also}")

    def is_image(self, line: str) -> bool:
        """Whether a line as a whole names an image."""
        try:
            return bool(self._named(line) or self._with_stem(line, self._images, IMAGES))
        except FieldError:
            return False

    def record_name(self, image: Path) -> str:
        """An image's path relative to the folder of images, or else to the VOC folder."""
        return self._below_folder(image, self._images).as_posix()

    def _pair(self, line):
        """The two files of an "image xml" line, wherever the space between them is."""
        cuts = [(line[: m.start()], line[m.end() :]) for m in re.finditer(r"\s+", line)]
        pairs = [[inside(self._devkit, name, _FOLDER) for name in cut] for cut in cuts]
        there = [pair for pair in pairs if all(map(is_file, pair))]
        if len(there) == 1:
            return Found(there[0][:1], there[0][1], True)
        if there:
            raise FieldError("", "fits several pairs of an image and an XML file")
        missing = [self._shown(path) for path in pairs[0] if not is_file(path)]
        raise FieldError("", f"found no file {' and no file '.join(missing)}")

    def _xml_of(self, line, images):
        names = {self.record_name(image) for image in images}
        names = names or {_plain(self._below(line, self._images))}
        stems = {_without_suffix(name) for name in names}
        for stem in (*sorted(stems), *sorted(names)):  # a.xml, or else a.jpg.xml
            xmls = self._with_stem(stem, self._xmls, (_XML,))
            if len(xmls) > 1:
                raise FieldError("", self._several(xmls))
            if xmls:
                return xmls[0]
        wanted = self._xmls[0] / f"{min(stems)}{_XML}"
        raise FieldError("", f"found no annotation file {self._shown(wanted)}")

    def _called(self, filename, found):
        """The images that a <filename> names.

        Where one image fits the line, this may be another one only if both have the same stem, the
        line names no sub-folder and the <filename> does: names alone are often out of date.
        """
        windows = PureWindowsPath(filename.strip())
        name = windows.name if windows.root or windows.drive else windows.as_posix()
        below = self._below_folder(found.xml, self._xmls).parent
        if not name.lower().endswith(IMAGES) or ".." in windows.parts:
            return []
        places = dict.fromkeys((name, (below / name).as_posix()))
        named = dict.fromkeys(path for place in places for path in self._named(place))
        if len(found.images) > 1:
            return [path for path in named if path in found.images]
        if found.images and (below.parts or "/" not in name):
            return []
        return [p for p in named if not found.images or p.stem == found.xml.stem]

    def _named(self, name):
        """The images of exactly this name; or else with the suffix in another case."""
        paths = self._places(name, self._images)
        exact = [path for path in paths if is_file(path)]
        listed = ((path, self._listed(path.parent, path.stem)) for path in paths)
        return exact or [p.parent / n for p, all_ in listed for n in all_ if _same(n, p.name)]

    def _with_stem(self, name, folders, endings):
        """The files of this name with one of these suffixes."""
        places = self._places(name, folders)
        listed = ((path.parent, self._listed(path.parent, path.name)) for path in places)
        return [p / n for p, names in listed for n in names if n.lower().endswith(endings)]

    def _places(self, name, folders):
        """The paths that a name may mean: below each folder, or below the VOC folder."""
        places = [inside(folder, name, _FOLDER) for folder in folders]
        shorter = self._below(name, folders)
        if shorter != name:
            places.append(inside(self._devkit, name, _FOLDER))
        return places

    def _below(self, name, folders):
        """A written path without the folder that it begins with, where that is one of `folders`."""
        first, _, rest = _plain(name).partition("/")
        return rest if rest and self._devkit / first in folders else name

    def _below_folder(self, path, folders):
        for folder in folders:
            if path.is_relative_to(folder):
                return path.relative_to(folder)
        return path.relative_to(self._devkit)

    def _listed(self, folder, stem):
        """The images and XML files of a folder whose name without suffix is this."""
        if folder not in self._listings:
            names = collections.defaultdict(list)
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                start, dot, ending = name.rpartition(".")
                if f"{dot}{ending}".lower() in (*IMAGES, _XML):
                    names[unicodedata.normalize("NFC", start)].append(name)
            self._listings[folder] = dict(names)
        return self._listings[folder].get(unicodedata.normalize("NFC", stem), ())

    def _folders(self, names):
        """The folders of these names that there are, each once; else the VOC folder."""
        found = []
        for folder in (self._devkit / name for name in names):
            if folder.is_dir() and not any(folder.samefile(other) for other in found):
                found.append(folder)
        return found or [self._devkit]

    def _shown(self, path):
        return path.relative_to(self._devkit).as_posix()

    def _several(self, paths):
        return f"fits several files: {', '.join(map(self._shown, paths))}"


def _plain(name):
    return name.replace("\\", "/").removeprefix("./")


def _without_suffix(name):
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending}".lower() in IMAGES else name


def _same(name, other):
    """Whether two names differ at most in the case of their suffixes."""
    return name.rpartition(".")[0] == other.rpartition(".")[0] and name.lower() == other.lower()
