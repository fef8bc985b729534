"""What is worth knowing about a data set as a whole, before its images are opened: report notes."""

from __future__ import annotations

import collections

from kdet.data.convert.boxes import is_trainable

MOST_DETECTIONS = 100  # per image, that COCO's metric looks at
_THIN = 1.0  # square pixels; a smaller polygon may cover no pixel


def remarks(items) -> collections.Counter:
    """Notes about objects and masks.

    Args:
        items: `kdet.data.convert.source.Item`s as read.
    Returns:
        {what: how many}; where it helps, the words name the file and id of the first or largest.
    """
    notes = collections.Counter()
    _dense(items, notes)
    _slivers(items, notes)
    _without_masks(items, notes)
    _empty_masks(items, notes)
    return notes


def _dense(items, notes):
    counts = [(sum(not o.crowd for o in item.objects), item) for item in items]
    dense = [pair for pair in counts if pair[0] > MOST_DETECTIONS]
    if dense:
        most, item = max(dense, key=lambda pair: pair[0])
        notes[
            f"images with more than {MOST_DETECTIONS} objects; the largest is {item.name} (image "
            f"{item.id}) with {most}: evaluation looks at the {MOST_DETECTIONS} best detections of "
            "an image, and training takes at most data.max_boxes objects"
        ] = len(dense)


def _slivers(items, notes):
    found = [
        (item, o)
        for item in items
        for o in item.objects
        if not o.crowd and not is_trainable(o.bbox, item.height, item.width)
    ]
    _count(notes, found, "boxes with less than a pixel inside the image, evaluated but not trained")


def _without_masks(items, notes):
    objects = [(item, o) for item in items for o in item.objects]
    missing = [pair for pair in objects if not (pair[1].polygons or pair[1].runs)]
    if len(missing) < len(objects):
        _count(notes, missing, "objects without masks while others have masks; mask models refuse")


def _empty_masks(items, notes):
    found = [(item, o) for item in items for o in item.objects if _is_empty(o, item)]
    _count(notes, found, "objects whose mask covers no pixel")


def _count(notes, found, words):
    if found:
        item, thing = found[0]
        notes[f"{words}; the first is object {thing.id} of image {item.id} ({item.name})"] = len(
            found
        )


def _is_empty(thing, item):
    if thing.runs:
        return not any(thing.runs[1::2])
    if not thing.polygons or not all(_may_be_empty(p, item) for p in thing.polygons):
        return False
    from pycocotools import mask  # only for the few in doubt

    rles = mask.frPyObjects([list(p) for p in thing.polygons], item.height, item.width)
    return not int(mask.area(mask.merge(rles)))


def _may_be_empty(polygon, item):
    xs, ys = polygon[::2], polygon[1::2]
    if max(xs) < 1 or max(ys) < 1 or min(xs) > item.width - 1 or min(ys) > item.height - 1:
        return True
    following = zip(xs[1:] + xs[:1], ys[1:] + ys[:1])
    doubled = sum(x * b - a * y for x, y, (a, b) in zip(xs, ys, following))
    return abs(doubled) < 2 * _THIN
