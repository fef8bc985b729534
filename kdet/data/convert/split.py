"""One source -> train and val, by the names of the images."""

from __future__ import annotations

import collections
import hashlib
import json
import re
from dataclasses import replace

from kdet.data.convert.source import Source
from kdet.errors import ConfigError, DataError


def split(source: Source, share: float, seed: int = 0, group: str | None = None) -> dict:
    """Splits the images of a source.

    The groups of images are sorted by a hash of the seed and the name, so the order and the folder
    of the images do not matter. In this order, each class first gets a group for val, rare classes
    before common ones. Then further groups follow until val has its share. A group that is the last
    one of a class in train stays there.

    Args:
        source: what to split.
        share: of the images that train should have, between 0 and 1. It is reached as near as the
            groups allow.
        seed: another seed gives another split.
        group: see `kdet.data.convert.combine.Choices`. Without it, each image is its own group.
    Returns:
        {"train": `Source`, "val": `Source`}. Problems and notes of the whole source are those of
        train, with a note for each class that only one part has.
    Raises:
        DataError: fewer than two groups.
        ConfigError: `group` is not a regular expression.
    """
    members = collections.defaultdict(list)
    find = split_expression(group) if group else None
    for item in source.items:
        members[_group(item.name, find)].append(item)
    if len(members) < 2:
        raise DataError(
            f"{source.annotations}: split: expected at least two images or groups of images, got "
            f"{len(members)}"
        )
    val = _groups_of_val(members, share, seed)
    chosen = {id(item) for name in val for item in members[name]}
    parts = {
        "train": [item for item in source.items if id(item) not in chosen],
        "val": [item for item in source.items if id(item) in chosen],
    }
    objects = sum(len(item.objects) for item in parts["val"])
    made = {}
    for part, items in parts.items():
        about = json.dumps([source.digest, part, share, seed, group])
        digest = hashlib.sha256(about.encode()).hexdigest()
        made[part] = replace(source, digest=digest, items=items, annotated=objects)
    made["train"].annotated = source.annotated - objects
    made["train"].notes = source.notes + _lonely(made)
    made["val"].notes, made["val"].problems = collections.Counter(), []
    return made


def split_expression(text: str) -> re.Pattern:
    """The regular expression of a group. Raises ConfigError with one line if it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        raise ConfigError(f"group: expected a regular expression, got {text!r}: {error}") from None


def _group(name, find):
    """What tells the group of an image from others; an image without a match is alone."""
    found = find.search(name) if find else None
    if not found:
        return "image", name
    return "group", found[0] if not find.groups or found[1] is None else found[1]


def _groups_of_val(members, share, seed):
    """The names of the groups of val, at least one and not all."""
    hashes = {name: hashlib.sha256(f"{seed}\0{name}".encode()).digest() for name in members}
    order = dict.fromkeys(sorted(members, key=hashes.get))
    sizes = {name: len(items) for name, items in members.items()}
    classes = {
        name: {o.label for item in items for o in item.objects if not o.crowd}
        for name, items in members.items()
    }
    left = collections.Counter(label for name in order for label in classes[name])
    every = sum(sizes.values())
    wanted = min(max(round((1 - share) * every), 1), every - 1)
    val, total, have = [], 0, set()

    def take(name):
        nonlocal total
        val.append(name)
        del order[name]
        total += sizes[name]
        have.update(classes[name])
        left.subtract(classes[name])

    def may(name):
        return all(left[label] > 1 for label in classes[name])

    def fits(name):
        return total + sizes[name] <= wanted and may(name)

    for label in sorted(left, key=lambda label: (left[label], label)):
        if label not in have:
            first = (name for name in order if label in classes[name] and fits(name))
            if (name := next(first, None)) is not None:
                take(name)
    for name in list(order):
        if fits(name):
            take(name)
    # one more group where too many images are better than too few
    possible = [name for name in order if total + sizes[name] < every]
    possible = [name for name in possible if may(name)] or ([] if val else possible)
    best = min(possible, key=lambda name: abs(total + sizes[name] - wanted), default=None)
    if best is not None and (not val or total + sizes[best] - wanted < wanted - total):
        take(best)
    return val


def _lonely(parts):
    """A note for each class that has objects in one part only."""
    counts = {
        part: collections.Counter(o.label for i in s.items for o in i.objects if not o.crowd)
        for part, s in parts.items()
    }
    names, notes = parts["train"].labels.names, collections.Counter()
    for part, other in (("train", "val"), ("val", "train")):
        for label in sorted(set(counts[part]) - set(counts[other])):
            what = f"objects of class {names[label]!r}, which {part}/ has and {other}/ lacks"
            notes[what] = counts[part][label]
    return notes
