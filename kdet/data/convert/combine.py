"""What a user chooses between reading annotations and writing shards: `Choices`.

They are applied in this order, whatever the annotations are read from: several sources become one,
classes are renamed and selected, images without objects are left out, and the rest is split. Every
choice is part of `Source.digest`, so a stopped conversion continues only with the same choices.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdet.config import LabelMap
from kdet.data.convert.split import split, split_expression
from kdet.data.convert.write import refuse, write_dataset
from kdet.errors import ConfigError, DataError

DROPPED = "objects of other classes than the selected ones, left out"
EMPTY = "images without objects, left out because of empty=drop"


@dataclass(frozen=True)
class Choices:
    """How sources are combined, changed and split.

    Attributes:
        rename: {old class name: new name}. Classes with one new name become one class.
        only: names of the classes to keep, after renaming; they also give the order of the labels.
        empty: "keep" or "drop" images without objects, also those that lost them to `only`.
        split: share of the images for train/, between 0 and 1; the others become val/.
        split_seed: another seed gives another split.
        group: regular expression that is searched in the name of each image. Images with the same
            first group of the match (or the same match) stay in one part.
    Raises:
        ConfigError: a value is not valid.
    """

    rename: Mapping[str, str] | None = None
    only: Sequence[str] | None = None
    empty: str = "keep"
    split: float | None = None
    split_seed: int = 0
    group: str | None = None

    def __post_init__(self):
        if isinstance(self.only, str):
            raise ConfigError(f"only: expected a list of class names, got {self.only!r}")
        if self.empty not in ("keep", "drop"):
            raise ConfigError(f"empty: expected keep or drop, got {self.empty!r}")
        if self.split is not None and not 0 < self.split < 1:
            raise ConfigError(f"split: expected a share between 0 and 1, got {self.split}")
        if self.group is not None:
            if self.split is None:
                raise ConfigError("group: expected split too, since groups are for splitting")
            split_expression(self.group)


def paired(firsts, seconds, names) -> list[tuple]:
    """Pairs of arguments that are one value or a list each; one value belongs to all others.

    Raises:
        ConfigError: lists of different lengths. `names` says what they hold.
    """
    one, two = (list(v) if isinstance(v, (list, tuple)) else [v] for v in (firsts, seconds))
    if len(one) != len(two) and 1 not in (len(one), len(two)):
        raise ConfigError(
            f"expected as many {names[1]} as {names[0]}, or one for all, got {len(one)} "
            f"{names[0]} and {len(two)} {names[1]}"
        )
    count = max(len(one), len(two))
    return list(zip(*(v * (count if len(v) == 1 else 1) for v in (one, two))))


def convert(
    sets, out, shards=None, workers=None, strict=False, allow_empty=False, **choices
) -> dict:
    """Combines sources and writes them; see `kdet.data.convert.coco.convert_coco`.

    Args:
        sets: {name of a set: list of `Source`s}; the name None means `out` itself.
        choices: the fields of `Choices`.
    Returns:
        The content of dataset.json; with several sets, a dict of them by name.
    """
    parts = combine(sets, Choices(**choices))
    return write_parts(parts, out, shards, workers, strict, allow_empty)


def write_parts(
    parts: dict, out, shards=None, workers=None, strict=False, allow_empty=False
) -> dict:
    """Writes every part into the folder of its name below `out`, the part None into `out` itself.

    All parts are checked before the first one is written. Arguments and errors are those of
    `kdet.data.convert.coco.convert_coco`.
    """
    out, settings = Path(out), (shards, workers, strict, allow_empty)
    if set(parts) == {None}:
        return write_dataset(parts[None], out, *settings)
    if (out / "dataset.json").exists():
        raise DataError(
            f"{out}: holds a data set and cannot hold train/ and val/; choose another folder"
        )
    for source in parts.values():
        source.check(allow_empty)
        if strict:
            refuse(source.problems)
    return {name: write_dataset(source, out / name, *settings) for name, source in parts.items()}


def combine(sets: dict, choices: Choices) -> dict:
    """The sources of each set as one source, with the choices applied and one label map for all.

    If the label maps differ, classes are joined by name: in the order in which the names come
    first, set by set and source by source, with the ids 1..K.

    Args:
        sets: {name of a set: list of `Source`s}.
    Returns:
        {name: `Source`}; with `choices.split`, the parts "train" and "val" of the only set.
    Raises:
        ConfigError: an unknown class name, or a split of several sets.
        DataError: a split of fewer than two groups of images.
    """
    if choices.split is not None and len(sets) > 1:
        raise ConfigError(
            f"split: expected one set, got {', '.join(map(str, sets))}; select one with --set"
        )
    maps = [source.labels for sources in sets.values() for source in sources]
    labels = maps[0]
    if any(other != labels for other in maps):
        names = tuple(dict.fromkeys(name for each in maps for name in each.names))
        labels = LabelMap(names, tuple(range(1, len(names) + 1)))
    parts = {}
    for name, sources in sets.items():
        sources = [_relabelled(s, labels) if s.labels != labels else s for s in sources]
        parts[name] = _chosen(_merged(sources), choices)
    if choices.split is not None:
        (source,) = parts.values()
        return split(source, choices.split, choices.split_seed, choices.group)
    _note_shared_images(parts)
    return parts


def _chosen(source, choices):
    """A source with renamed and selected classes, and perhaps without empty images."""
    renamed, only = dict(choices.rename or {}), choices.only
    if renamed or only is not None:
        _known("rename", renamed, source.labels.names, source)
        named = {}
        for name, number in zip(source.labels.names, source.labels.ids):
            named.setdefault(renamed.get(name, name), number)
        if only is not None:
            _known("only", only or [""], named, source)
            named = {name: named[name] for name in only}
        labels = LabelMap(tuple(named), tuple(named.values()))
        source = _marked(_relabelled(source, labels, renamed), renamed, only)
    if choices.empty == "drop":
        kept = [item for item in source.items if item.objects]
        notes = source.notes + collections.Counter({EMPTY: len(source.items) - len(kept)})
        source = _marked(replace(source, items=kept, notes=notes), "drop")
    return source


def _known(choice, names, known, source):
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{choice}: expected classes of {source.annotations}, got {name!r}; "
                f"the classes are {', '.join(map(repr, known))}"
            )


def _relabelled(source, labels, renamed=None):
    """A source with the labels that its classes have in another label map, found by name."""
    places = {name: k for k, name in reversed(list(enumerate(labels.names)))}
    new = [places.get((renamed or {}).get(name, name)) for name in source.labels.names]
    items = []
    for item in source.items:
        kept = (o for o in item.objects if new[o.label] is not None)
        items.append(replace(item, objects=tuple(replace(o, label=new[o.label]) for o in kept)))
    lost = sum(len(a.objects) - len(b.objects) for a, b in zip(source.items, items))
    notes = source.notes + collections.Counter({DROPPED: lost})
    left = source.annotated - lost
    return replace(source, labels=labels, items=items, notes=notes, annotated=left)


def _marked(source, *choice):
    """A source whose digest tells that something was chosen."""
    text = json.dumps([source.digest, *choice], sort_keys=True)
    return replace(source, digest=hashlib.sha256(text.encode()).hexdigest())


def _merged(sources):
    """Sources with equal label maps as one; ids and names of images and ids of objects differ."""
    first, *more = sources
    if not more:
        return first
    given = [(number, item) for number, s in enumerate(sources, 1) for item in s.items]
    ids = _distinct([item.id for _, item in given])
    things = iter(_distinct([o.id for _, item in given for o in item.objects]))
    items, names = [], set()
    for (number, item), image_id in zip(given, ids):
        name = item.name
        while name in names:
            name = f"{number}/{name}"
        names.add(name)
        objects = tuple(replace(o, id=next(things)) for o in item.objects)
        items.append(replace(item, id=image_id, name=name, objects=objects))
    pairs = [(old, new) for (_, old), new in zip(given, items)]
    notes = sum((s.notes for s in sources), collections.Counter()) + collections.Counter(
        {
            "images with a new id, because another source has the id, too": sum(
                old.id != new.id for old, new in pairs
            ),
            "images with the number of their source before their name, because another source has "
            "the name, too": sum(old.name != new.name for old, new in pairs),
            "images that came in an earlier source, too": len(items) - len({i.path for i in items}),
        }
    )
    merged = replace(
        first,
        annotations=", ".join(dict.fromkeys(s.annotations for s in sources)),
        items=items,
        problems=[problem for s in sources for problem in s.problems],
        notes=notes,
        annotated=sum(s.annotated for s in sources),
    )
    return _marked(merged, [s.digest for s in more])


def _distinct(numbers):
    """The numbers, but each repeated one is replaced by the smallest positive one that is free."""
    used, seen = set(numbers), set()
    free = (number for number in itertools.count(1) if number not in used)
    return [next(free) if n in seen or seen.add(n) else n for n in numbers]


def _note_shared_images(parts):
    seen = set()
    for source in parts.values():
        paths = {item.path for item in source.items}
        if shared := len(paths & seen):
            source.notes["images that are in an earlier set, too"] = shared
        seen |= paths
