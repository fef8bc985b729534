"""data.yaml, or a file of class names -> the classes, the sets and the images of YOLO data."""

from __future__ import annotations

import re
from pathlib import Path

from kdet.config import LabelMap
from kdet.data.convert.fields import whole
from kdet.data.convert.paths import IMAGES, files_below, is_file, set_folders
from kdet.data.convert.source import Problem, read_file
from kdet.data.convert.voc_list import read_lines
from kdet.data.convert.yolo_yaml import read_yaml
from kdet.errors import DataError

NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels")
_YAML = (".yaml", ".yml")
_OTHER_IMAGES = (".gif", ".tif", ".tiff", ".heic", ".heif", ".avif")


def find_description(folder) -> Path | None:
    """The data.yaml, or else the only YAML file with `names`, or else the file of class names."""
    folder = Path(folder)
    named = [folder / f"data{suffix}" for suffix in _YAML if (folder / f"data{suffix}").is_file()]
    others = sorted(path for path in folder.iterdir() if path.suffix.lower() in _YAML)
    others = [p for p in others if p.is_file() and re.search(rb"(?m)^names\s*:", read_file(p))]
    # labelImg writes the names beside the labels; Roboflow's Darknet export has them in each set
    places = (folder, folder / "labels", folder / "train")
    names = [at / name for at in places for name in NAME_FILES if (at / name).is_file()]
    return next(iter([*named, *(others if len(others) == 1 else []), *names]), None)


class YoloFiles:
    """What describes a data set with YOLO labels.

    Attributes:
        path: the file that was read.
        text: its bytes.
        labels: names of the classes, and the numbers that label files use.
        sets: names of the sets; None alone where there are no sets.
        key_points: whether the label files have key points behind the boxes.
    Raises:
        DataError: no such file, or it cannot be used.
    """

    def __init__(self, data):
        """`data` is a file or a folder."""
        path = Path(data)
        if path.is_dir():
            path = find_description(data)
        if path is None or not path.is_file():
            raise DataError(
                f"{data}: expected data.yaml, or a folder with data.yaml or with the class names "
                f"in {' or '.join(NAME_FILES[:2])}"
            )
        self.path, self.text = path, read_file(path)
        self._entries, self.key_points = {}, False
        if path.suffix.lower() in _YAML:
            self._from_yaml()
        else:
            self._from_names(Path(data) if Path(data).is_dir() else path.parent)
        self.sets = list(self._entries)

    def images(self, name, problems: list[Problem]) -> list[Path]:
        """The images of a set, each once; those of a folder are sorted.

        Args:
            name: of the set.
            problems: gets an entry for each file that is missing or of another kind.
        Raises:
            DataError: a folder or a list is missing.
        """
        found = []
        for entry in self._entries[name]:
            place = entry if isinstance(entry, Path) else self._place(name, entry)
            if not place.is_dir():
                found += self._listed(place, problems)
                continue
            for path in files_below(place, (*IMAGES, *_OTHER_IMAGES)):
                if path.name.lower().endswith(IMAGES):
                    found.append(path)
                else:
                    message = f"expected a JPEG, PNG, BMP or WebP image, got {path.suffix}"
                    problems.append(Problem(self.shown(path), "", "", message))
        return list(dict.fromkeys(found))

    def shown(self, path: Path) -> str:
        """The path of a file for a problem, relative to the folder of the data where that helps."""
        roots = [root for root in self._roots if path.is_relative_to(root)]
        return path.relative_to(roots[0]).as_posix() if roots else str(path)

    def _from_yaml(self):
        try:
            text = self.text.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DataError(f"{self.path}: expected UTF-8 text") from None
        values, folder = read_yaml(text, self.path), self.path.parent
        self.labels = self._labels(values)
        self.key_points = values.get("kpt_shape") is not None
        base = values.get("path") or "."
        if not isinstance(base, str):
            raise DataError(f"{self.path}: path: expected a folder, got {base!r}")
        # where the path is one of another machine, the folder of the file is tried
        self._roots = [place for place in (folder / base, folder) if place.is_dir()]
        for key, name in (("train",) * 2, ("val",) * 2, ("valid", "val"), ("test",) * 2):
            value = values.get(key)
            entries = [value] if isinstance(value, str) else value
            if isinstance(entries, dict):
                raise DataError(f"{self.path}: {key}: expected a folder or list, got {entries!r}")
            if entries:
                self._entries.setdefault(name, entries)
        if not self._entries:
            raise DataError(f"{self.path}: expected at least one of train, val and test")

    def _labels(self, values):
        names = values.get("names")
        if isinstance(names, list):
            names = dict(enumerate(names))
        if not names or not isinstance(names, dict):
            raise DataError(f"{self.path}: names: expected class names, got {names!r}")
        count = values.get("nc")
        if count is not None and whole(count) != len(names):
            raise DataError(f"{self.path}: nc: expected {len(names)}, as in names, got {count}")
        if len(set(names.values())) < len(names):
            raise DataError(f"{self.path}: names: expected distinct class names")
        ids = tuple(sorted(names))
        return LabelMap(tuple(names[number] for number in ids), ids)

    def _from_names(self, root):
        names = tuple(line for _, line in read_lines(self.path, "one class name"))
        if not names or len(set(names)) < len(names):
            raise DataError(f"{self.path}: expected distinct class names, one per line")
        self._roots, self.labels = [root], LabelMap(names, tuple(range(len(names))))
        sets = set_folders(root) or set_folders(root / "images") or {None: root}
        self._entries = {name: [folder] for name, folder in sets.items()}

    def _place(self, name, entry):
        """The folder or list that data.yaml names, relative to its `path` or to itself."""
        # Roboflow writes ../train/images and means train/images
        forms = [entry, entry.removeprefix("../")]
        places = [root / form for form in forms for root in self._roots]
        for place in places:
            if place.is_dir() or is_file(place):
                return place
        raise DataError(
            f"{self.path}: {name}: expected a folder of images or a list of them, found no "
            f"{places[0]}"
        )

    def _listed(self, file, problems):
        """The images of a list, relative to the list's folder or to the folder of the data."""
        found = {}
        for number, line in read_lines(file, "one image"):
            places = (root / line.replace("\\", "/") for root in (file.parent, *self._roots))
            path = next(filter(is_file, places), None)
            if path is not None and path not in found:
                found[path] = None
            else:
                what = f"{line[:80]!r} comes twice" if path else f"found no image {line[:80]!r}"
                problems.append(Problem(file.name, f"line {number}", "", what))
        return list(found)
