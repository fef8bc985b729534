"""Annotations of any known form, recognised by their files, and converted copies in a cache.

A path may be, tried in this order:
  * a COCO json file, or a data.yaml of YOLO
  * a folder with data.yaml
  * a folder whose parts (train, valid, test) have _annotations.coco.json, as Roboflow exports them
  * a folder with COCO json files, in itself or in annotations/; names with train, val or test are
    sets, and if some are called instances_..., only these count
  * a VOC folder with Annotations/ and the lists of its sets, or a folder whose parts have XML files
  * a folder with VOC XML files
  * a folder with classes.txt or obj.names, and YOLO labels
  * a folder with one sub-folder that is one of these
"""

from __future__ import annotations

import collections
import functools
import hashlib
import json
import re
import sys
from pathlib import Path

from kdet.data.convert.coco import read_coco
from kdet.data.convert.combine import Choices, combine, write_parts
from kdet.data.convert.paths import files_below, is_file, set_folders
from kdet.data.convert.source import Source, read_file
from kdet.data.convert.voc import read_voc
from kdet.data.convert.write import summary
from kdet.data.convert.yolo import read_yolo
from kdet.data.convert.yolo_files import YoloFiles, find_description
from kdet.data.places import place
from kdet.errors import DataError
from kdet.files import cache_dir, file_lock

SETS = ("train", "val", "test")
_ROBOFLOW = "_annotations.coco.json"
_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
_SET = re.compile(r"(?:^|[^a-z])(train|val|test)", re.IGNORECASE)


def cached_records(path, images=None, split=0.8, cache=None, before=None) -> Path:
    """A converted copy of annotations in any known form; made at the first call.

    Later calls with unchanged annotations and images read the annotations again and return the same
    folder. The copies stay in the cache until somebody deletes them.

    Args:
        path: see `kdet.data.convert.any`; or a converted data set, which is returned as it is, also
            at a URL.
        images: folder of the images, for COCO files whose images are not found beside them.
        split: share of the images for train/, where the data has no set for validation.
        cache: folder of the copies; default: KDET_HOME/records (KDET_HOME is ~/.cache/kdet).
        before: a function that is called before images are converted, which needs TensorFlow.
    Returns:
        A folder with the data sets train/ and val/. What was left out is in their report.json.
    Raises:
        DataError: the form is not recognised, or there is no object to train on.
    """
    path = place(path)
    if path.name == "dataset.json":
        path = path.parent
    if not isinstance(path, Path):  # annotations at a URL are not converted
        return path
    path = path.expanduser()
    if (path / "dataset.json").is_file() or any(path.glob("*/dataset.json")):
        return path
    sets = dict(read_any(path, images, SETS[:2]))
    if set(sets) == {"val"}:
        raise DataError(f"{path}: expected images to train on, found only a set for validation")
    choices = Choices() if "val" in sets else Choices(split=split)
    parts = combine({name: [source] for name, source in sets.items()}, choices)
    about = [str(path.resolve()), images and str(Path(images).resolve())]
    about += [source.fingerprint(0) for source in parts.values()]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    folder = Path(cache or cache_dir() / "records").expanduser() / f"{path.resolve().stem}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / "lock", f"another process converts {path}; waiting"):
        fresh = [part for part in parts if not (folder / part / "dataset.json").is_file()]
        if fresh and before:
            before()
        write_parts(parts, folder)
    for part in fresh:
        print(summary(folder / part), file=sys.stderr)
    return folder


def read_any(path, images=None, sets=SETS) -> list[tuple[str | None, Source]]:
    """Reads and checks annotations of any known form; see `kdet.data.convert.any`.

    Args:
        path: a file or a folder.
        images: folder of the images, for COCO files whose images are not found beside them.
        sets: names of the sets to read, where the data has sets.
    Returns:
        [(set or None, `Source`)]; None is the only name where the data is not divided.
    Raises:
        DataError: the form is not recognised, or the annotations cannot be used.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    found = _readers(path, images)
    if not found:
        raise DataError(
            f"{path}: expected COCO .json files, VOC .xml files, or YOLO labels with data.yaml or "
            f"classes.txt; found {_content(path)}"
        )
    wanted = [name for name in found if name is None or name in sets]
    if not wanted:
        raise DataError(f"{path}: expected a set {' or '.join(sets)}, found {', '.join(found)}")
    return [(name, found[name]()) for name in wanted]


def _readers(path, images):
    """{name of a set or None: function that reads it}; empty where nothing is recognised."""
    if path.is_file():
        if path.suffix.lower() == ".json":
            return _coco([path], images)
        return _yolo(path) if path.suffix.lower() in (".yaml", ".yml") else {}
    description = find_description(path)
    if description and description.suffix.lower() in (".yaml", ".yml"):
        return _yolo(path)
    exports = {n: p / _ROBOFLOW for n, p in set_folders(path).items() if (p / _ROBOFLOW).is_file()}
    if exports:
        return {n: functools.partial(read_coco, p, images or p.parent) for n, p in exports.items()}
    files = sorted([*path.glob("*.json"), *path.glob("annotations/*.json")])
    files = [p for p in files if b'"categories"' in (text := read_file(p)) and b'"images"' in text]
    if files:
        return _coco([p for p in files if p.name.startswith("instances_")] or files, images)
    if found := _voc(path) or (_yolo(path) if description else {}):
        return found
    folders = [p for p in path.iterdir() if p.is_dir() and p.name[0] not in "._"]
    if len(folders) == 1 and (found := _readers(folders[0], images)):
        return found
    return {None: functools.partial(read_voc, path)} if files_below(path, (".xml",)) else {}


def _yolo(path):
    sets = YoloFiles(path).sets
    return {name: lambda name=name: read_yolo(path, [name])[name] for name in sets}


def _coco(files, images):
    found = {}
    for path in files:
        name = _SET.search(path.stem)
        name = name and name[1].lower()
        if name in found or (found and None in (name, *found)):
            names = ", ".join(p.name for p in files)
            raise DataError(f"{path.parent}: expected one COCO file for each set, found {names}")
        found[name] = functools.partial(_read_coco, path, images)
    return found


def _read_coco(path, images):
    """Reads a COCO file; its folder of images is the one that has its first image."""
    match = _FILE_NAME.search(read_file(path))
    name = json.loads(match[1]) if match else ""
    last = path.stem.rpartition("_")[2]  # train2017
    tops = [Path(images).expanduser()] if images else [path.parent, path.parent.parent]
    places = [top / inner for top in tops for inner in (".", "images", last, f"images/{last}")]
    there = [place for place in places if name and is_file(place / name)]
    if name and not there:
        looked = ", ".join(map(str, places))
        raise DataError(f"{path}: found its first image {name!r} in none of {looked}; name images=")
    return read_coco(path, there[0] if there else tops[0])


def _voc(path):
    """The sets of a VOC folder: by its lists, by its sub-folders, or all of its XML files."""
    whole = {None: functools.partial(read_voc, path)}
    if any((path / name).is_dir() for name in ("Annotations", "annotations")):
        tried = {"train": ("train", "trainval"), "val": ("val", "valid"), "test": ("test",)}
        lists = {
            part: file
            for part, names in tried.items()
            for name in reversed(names)
            for file in (path / f"{name}.txt", path / "ImageSets" / "Main" / f"{name}.txt")
            if file.is_file()
        }
        found = {part: functools.partial(read_voc, path, file) for part, file in lists.items()}
        return found if "train" in found else whole
    parts = {n: p for n, p in set_folders(path).items() if files_below(p, (".xml",))}
    if parts:
        return {name: functools.partial(read_voc, place) for name, place in parts.items()}
    return whole if any(path.glob("*.xml")) else {}


def _content(path):
    if path.is_file():
        return f"a file {path.name}"
    every = files_below(path, ("",))
    counts = collections.Counter(p.suffix.lower() or p.name for p in every)
    said = [f"{count} {suffix}" for suffix, count in counts.most_common(5)]
    return f"{len(every)} files ({', '.join(said)})" if every else "an empty folder"
