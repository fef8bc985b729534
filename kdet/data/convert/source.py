"""What COCO, VOC and YOLO data is read into before they become shards: checked, labelled items."""

from __future__ import annotations

import collections
import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kdet.config import LabelMap
from kdet.data.convert.boxes import is_trainable
from kdet.data.convert.example_proto import Object
from kdet.data.schema import VERSION
from kdet.errors import DataError

UNLABELLED = "images without an annotation file, taken as images without objects"
_RULES = 2  # raised where equal inputs give other records than before


class Problem(NamedTuple):
    """Something that was left out.

    Attributes:
        file: name of the file that is wrong.
        where: which part of it, e.g. "annotation 17 of image 5"; "" for the whole file.
        field: which field; "" where none can be named.
        message: what was expected and what came.
    """

    file: str
    where: str
    field: str
    message: str

    def __str__(self):
        text = ": ".join(part for part in self if part)
        return " ".join(text.split())  # file names may hold line breaks


@dataclass(frozen=True)
class Item:
    """One image file with its usable objects; `height` and `width` are the annotated size."""

    id: int
    name: str
    path: str
    height: int
    width: int
    objects: tuple[Object, ...] = ()


@dataclass
class Source:
    """A data set that was read and checked, before its images were opened.

    Attributes:
        kind: "coco", "voc", "yolo" or "synthetic".
        annotations: name of the annotation file or image list.
        digest: hash of everything read from annotation files.
        labels: names and ids.
        items: images in the order of the source.
        problems: what was left out so far.
        notes: what was changed or is worth knowing, with counts.
        annotated: how many objects the source holds, the unusable ones too.
    """

    kind: str
    annotations: str
    digest: str
    labels: LabelMap
    items: list[Item]
    problems: list[Problem] = field(default_factory=list)
    notes: collections.Counter = field(default_factory=collections.Counter)
    annotated: int = 0

    def check(self, allow_empty: bool = False):
        """Refuses what nothing could be trained on or measured with.

        Args:
            allow_empty: whether a source in which nothing is annotated may pass.
        Raises:
            DataError: no image or no object is left, or boxes look like fractions of the image.
        """
        if not self.items:
            first = f"; first problem: {self.problems[0]}" if self.problems else ""
            raise DataError(f"{self.annotations}: expected at least one usable image{first}")
        reach = max((max(_corner(o)) for i in self.items for o in i.objects), default=math.inf)
        if reach <= 1 and any(max(i.height, i.width) > 4 for i in self.items):
            raise DataError(
                f"{self.annotations}: bbox: expected pixels, but every box lies within 0..1"
            )
        trainable = (
            not o.crowd and is_trainable(o.bbox, i.height, i.width)
            for i in self.items
            for o in i.objects
        )
        if not any(trainable):
            self.refuse_empty(self.problems, allow_empty)

    def refuse_empty(self, problems: list[Problem], allow_empty: bool):
        """Raises DataError for a data set without one object to train on, unless that is meant.

        Args:
            problems: what was left out; the first one is named.
            allow_empty: whether a source in which nothing is annotated may pass.
        """
        if allow_empty and not self.annotated:
            return
        came = f"got {self.annotated} annotations, none of them usable"
        if not self.annotated:
            came = "nothing is annotated; if that is meant, use --allow-empty (allow_empty=True)"
        elif not problems:
            came = f"got {self.annotated} annotations, all of them crowds, ignored or too small"
        first = f"; first problem: {problems[0]}" if problems else ""
        raise DataError(
            f"{self.annotations}: expected at least one object to train on; {came}{first}"
        )

    def fingerprint(self, shards: int) -> str:
        """Hash of all that decides the shards: annotations, label map, image files, split."""
        sha = hashlib.sha256(
            json.dumps(
                [VERSION, _RULES, self.kind, self.digest, self.labels.names, shards]
            ).encode()
        )
        for item in self.items:
            try:
                stat = os.stat(item.path)
                sha.update(f"{item.id} {item.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
            except OSError:
                sha.update(f"{item.id} {item.name} missing\n".encode())
        return sha.hexdigest()


def _corner(thing):
    x, y, width, height = thing.bbox
    return x + width, y + height


def read_file(path) -> bytes:
    """The bytes of a file. Raises DataError with one line where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from None
