"""What COCO and VOC folders are read into before they become shards: checked, labelled items."""

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
from kdet.data.convert.example_proto import Object
from kdet.data.schema import VERSION
from kdet.errors import DataError

CLIPPED = "boxes partly outside the image, clipped when read"
_SLIVER = 0.01  # pixels; less of a box inside the image counts as outside


class FieldError(ValueError):
    """A field that cannot be used: which one, and what was expected and came instead."""

    def __init__(self, field, message):
        super().__init__(message)
        self.field = field


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
        kind: "coco", "voc" or "synthetic".
        annotations: name of the annotation file or image list.
        digest: hash of everything read from annotation files.
        labels: names and ids.
        items: images in the order of the source.
        problems: what was left out so far.
        notes: what was changed or is worth knowing, with counts.
    """

    kind: str
    annotations: str
    digest: str
    labels: LabelMap
    items: list[Item]
    problems: list[Problem] = field(default_factory=list)
    notes: collections.Counter = field(default_factory=collections.Counter)

    def check(self):
        """Raises DataError where nothing is left, or boxes look like fractions of the image."""
        if not self.items:
            first = f"; first problem: {self.problems[0]}" if self.problems else ""
            raise DataError(f"{self.annotations}: expected at least one usable image{first}")
        reach = max((max(_corner(o)) for i in self.items for o in i.objects), default=math.inf)
        if reach <= 1 and any(max(i.height, i.width) > 4 for i in self.items):
            raise DataError(
                f"{self.annotations}: bbox: expected pixels, but every box lies within 0..1"
            )

    def fingerprint(self, shards: int) -> str:
        """Hash of all that decides the shards: annotations, label map, image files, split."""
        sha = hashlib.sha256(
            json.dumps([VERSION, self.kind, self.digest, self.labels.names, shards]).encode()
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


def check_box(bbox, height: int, width: int) -> bool:
    """Whether an annotated box (x, y, w, h in pixels) reaches over the image's border.

    Raises:
        FieldError: no area, or nothing of it inside the image.
    """
    x, y, w, h = bbox
    if w <= 0 or h <= 0:
        raise FieldError("bbox", f"expected a positive width and height, got {w:g} x {h:g}")
    inside_w = min(x + w, width) - max(x, 0)
    inside_h = min(y + h, height) - max(y, 0)
    if inside_w < min(_SLIVER, w) or inside_h < min(_SLIVER, h):
        raise FieldError(
            "bbox",
            f"expected a box inside the {width} x {height} image, "
            f"got x {x:g}..{x + w:g}, y {y:g}..{y + h:g}",
        )
    return x < 0 or y < 0 or x + w > width or y + h > height


def read_file(path) -> bytes:
    """The bytes of a file. Raises DataError with one line where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from None
