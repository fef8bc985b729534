"""Opens and checks the data sets of a run before the first step, or makes synthetic ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdet.config import Data
from kdet.data.places import place
from kdet.data.records import Records
from kdet.errors import DataError

SYNTHETIC = {"train": (600, 1), "val": (100, 2)}  # images and seed of the built-in data set
BANNER = """
  There is no --data, so this run trains on the built-in synthetic data set: painted shapes, a small
  canvas and a short schedule. It shows that everything works. Its AP cannot be compared with AP on
  COCO.
"""
METRIC_LIMIT = 100  # COCO's metric uses this many detections per image


def make_synthetic_splits(folder: Path, data: Data) -> None:
    """Makes the splits of the built-in data set that do not exist yet."""
    from kdet.data.convert.synthetic import make_synthetic

    for split, (images, seed) in SYNTHETIC.items():
        if not (folder / split / "dataset.json").is_file():
            side = (data.short_side, data.short_side)
            make_synthetic(folder / split, images, seed, side)


def open_splits(folder) -> tuple[Records, Records | None]:
    """Opens the training records and, if they exist, the validation records of a folder.

    Args:
        folder: a converted data set, or the parent of train/ and val/; also a URL.
    Raises:
        DataError: damaged data, no object to train on, or splits with different classes.
    """
    records = Records.open(folder, "train")
    if not records.index["objects"].any():
        raise DataError(f"{records.folder}: has no object to train on; crowds do not count")
    folder = place(folder)
    if records.folder == folder or not (folder / "val" / "dataset.json").is_file():
        return records, None
    val = Records.open(folder, "val")
    if val.labels != records.labels:
        raise DataError(f"{folder}: train/ and val/ {_class_difference(records, val)}")
    return records, val


def open_splits_of_run(folder, recipe, say) -> tuple[Records, Records | None]:
    """The result of `open_splits` for a run.

    Args:
        folder: see `open_splits`.
        recipe: `kdet.config.Recipe`; a mask head needs outlines of objects.
        say: function that prints text.
    Raises:
        DataError: as in `open_splits` and `check_masks`.
    """
    records, val = open_splits(folder)
    if val is None:
        say(f"{folder} has no val/, so nothing is evaluated")
    if recipe.model.needs_masks():
        check_masks(records, recipe.name)
    return records, val


def _class_difference(train, val):
    """The difference between the label maps of two splits, as text."""
    ours, theirs = train.labels.names, val.labels.names
    if set(ours) != set(theirs):
        only = [
            f"only {split}/ has {', '.join(map(repr, names[:5]))}"
            for split, names in (
                ("train", [n for n in ours if n not in theirs]),
                ("val", [n for n in theirs if n not in ours]),
            )
            if names
        ]
        return f"have different classes: {'; '.join(only)}; convert both with the same class list"
    for label, names in enumerate(zip(ours, theirs)):
        if names[0] != names[1]:
            return (
                f"order their classes differently: label {label} is {names[0]!r} and {names[1]!r}"
            )
    pairs = zip(ours, train.labels.ids, val.labels.ids)
    name, one, other = next((n, a, b) for n, a, b in pairs if a != b)
    return f"give class {name!r} different ids: {one} and {other}"


def check_masks(records: Records, where: str) -> None:
    """Checks that the objects of the first 100 images with objects have masks.

    Args:
        records: the training records.
        where: the row with a mask head, for the message.
    Raises:
        DataError: an object has no mask. The message has the record and the image id.
    """
    from kdet.data.decode import MASKS, OBJECTS, parse

    wanted = {"object/crowd": OBJECTS["object/crowd"], **MASKS}
    for number in np.flatnonzero(records.index["objects"])[:100]:
        values = parse(records.read(int(number)), wanted)
        masks = np.asarray(values["polygon/parts"]) + np.asarray(values["rle/runs"])
        if ((masks == 0) & (np.asarray(values["object/crowd"]) == 0)).any():
            raise DataError(
                f"{records.folder}: record {number} (image id {records.image_ids[number]}) has an "
                f"object without a mask, and {where} trains a mask head; convert annotations with "
                "segmentation, or train a row without masks"
            )


def limits(records: Records, val: Records | None, data: Data) -> list[str]:
    """Lines about images with more objects than training or the metric uses, and about reading."""
    lines = []
    if records.remote and (data.shuffle_window or len(records)) > 2 * records.largest_window:
        lines.append(
            f"about every image of {records.folder} is a request of its own; "
            f"data.shuffle_window={records.largest_window} reads many images with one"
        )
    counts = records.index["objects"]
    above = int((counts > data.max_boxes).sum())
    if above and data.truncate_boxes:
        lines.append(
            f"{above} training images have more than {data.max_boxes} objects (up to "
            f"{counts.max()}); the first {data.max_boxes} of each are used (data.max_boxes)"
        )
    counts = val.index["objects"] if val else np.zeros(1, int)
    above = int((counts > METRIC_LIMIT).sum())
    if above:
        lines.append(
            f"{above} validation images have more than {METRIC_LIMIT} objects (up to "
            f"{counts.max()}); COCO's metric uses {METRIC_LIMIT} detections per image"
        )
    if val and not val.index["objects"].any():
        lines.append("the validation set has no object: its metrics are undefined")
    return lines
