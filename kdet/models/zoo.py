"""Rows of the zoo by name, and detectors by name or file."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import runpy
import sys
from dataclasses import replace
from pathlib import Path

from keras import ops

from kdet.config import ConfigError, LabelMap, Recipe
from kdet.config.labels import COCO_LABELS, VOC_LABELS
from kdet.models.detector import build
from kdet.overrides import from_dict, override, to_dict, to_json
from kdet.weights import paddle
from kdet.weights.archive import (
    ArchiveError,
    check_complete,
    describe_archive,
    group,
    one_line,
    read_entries,
    write_archive,
)
from kdet.weights.fetch import fetch, home, recorded
from kdet.weights.fill import CLASS_LAYERS, Report, fill, possible_names
from kdet.weights.names import reference_name, to_reference
from kdet.weights.sources import released


def names() -> tuple[str, ...]:
    """Names of all recipes, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("[a-z]*.py")))


def recipe(name) -> Recipe:
    """The recipe of a row, e.g. "retinanet_r50_fpn_1x".

    Raises:
        ConfigError: no such row; the message names the nearest.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names())}"
        raise ConfigError(f"the zoo has no row {name!r}; {hint}")
    return runpy.run_path(str(_folder() / f"{name}.py"))["recipe"]


def load(name, weights="released", num_classes=None, overrides=(), mirror=None):
    """A detector by the name of its row, or from a kdet checkpoint.

    Args:
        name: a row of the zoo, or the path of a checkpoint (`best.npz`, `last.npz`) or of a run
            folder that holds one.
        weights: for a row: "released", the published ones, fetched once (`kdet.weights.fetch`);
            None for random ones; or a path: a checkpoint of kdet or of Paddle
            (`kdet.weights.paddle.find` says which kinds).
        num_classes: another number of classes. Layers that depend on it keep their random values,
            and are named on stderr; all others are loaded.
        overrides: `key=value` changes of the recipe.
        mirror: where to fetch from: an address or a folder; default: KDET_MIRROR.
    Returns:
        `kdet.models.Detector`. Every variable has its stored value, but for `num_classes`.
    Raises:
        ConfigError: unknown row, impossible combination.
        ArchiveError: a checkpoint that is damaged or does not fit; FetchError: one that cannot be
            had. One line each.
    """
    if num_classes is not None and (type(num_classes) is not int or num_classes < 1):
        raise ConfigError(f"num_classes must be a whole number above 0; got {num_classes!r}")
    if name not in names() and _is_path(name):
        if weights != "released":
            raise ConfigError(f"{name}: has weights of its own; weights= is for rows of the zoo")
        return _from_checkpoint(Path(name), num_classes, overrides)
    row = override(recipe(name), overrides)
    if weights == "released":
        return _released(row, num_classes, mirror)
    if weights is None:
        return _random(row, num_classes)
    path = Path(weights)
    if not path.exists():
        raise ConfigError(
            f"{name}: weights must be 'released', None or a path; there is no file {str(path)!r}"
        )
    if paddle.is_paddle(path):
        return _from_paddle(row, path, num_classes)
    return _from_checkpoint(path, num_classes, overrides, name)


def save_paddle(detector, folder) -> None:
    """Writes the weights in the reference's form, one file per variable; `load` reads them again.

    Norms that kdet holds folded are written as the reference's affine channels.

    Args:
        detector: `kdet.models.Detector`.
        folder: a new or empty folder.
    Raises:
        ArchiveError: the folder has something in it.
    """
    named = sorted((reference_name(v.path), v) for v in detector.network.variables)
    tensors = ((name, to_reference(ops.convert_to_numpy(v), name)) for name, v in named)
    paddle.write(folder, tensors)


def checkpoint_of(path) -> Path:
    """The checkpoint a path means: itself, or a run folder's best, else last one."""
    path = Path(path)
    if not path.is_dir():
        return path
    for name in ("best.npz", "last.npz"):
        if (path / name).is_file():
            return path / name
    raise ArchiveError(f"{path}: expected best.npz or last.npz in this folder")


def _is_path(name):
    path = Path(name)
    return isinstance(name, Path) or path.suffix == ".npz" or path.name != name or path.exists()


def _random(row, num_classes):
    if num_classes is not None:
        row = replace(row, model=replace(row.model, num_classes=num_classes))
    known = {"coco": COCO_LABELS, "voc": VOC_LABELS}.get(row.data.dataset)
    fits = known is not None and len(known) == row.model.num_classes
    return build(row.model, row.data, known if fits else None)


def _from_paddle(row, path, num_classes):
    detector = _random(row, num_classes)
    parts = paddle.find(path, possible_names(detector.network))
    report = fill(detector.network, parts, path, new_classes=num_classes is not None)
    if report.fresh:
        print(f"{path}: {report}", file=sys.stderr)
    return detector


def _released(row, num_classes, mirror):
    """The published weights; their converted form is kept, as a checkpoint of kdet."""
    path = fetch(released(row.name), mirror, check=paddle.find)
    if num_classes is not None:
        return _from_paddle(row, path, num_classes)
    facts = f"{recorded(path)} {to_json(row.model)}".encode()
    kept = home() / "converted" / f"{row.name}-{hashlib.sha256(facts).hexdigest()[:16]}.npz"
    if kept.is_file():
        with contextlib.suppress(ArchiveError):  # damaged: made again
            return _with_weights(_random(row, None), kept, describe_archive(kept)[0])
    detector = _from_paddle(row, path, None)
    arrays = {f"weights/{v.path}": v for v in detector.network.variables}
    with contextlib.suppress(OSError):  # a cache: no room for it is no reason to fail
        kept.parent.mkdir(exist_ok=True)
        write_archive(kept, arrays, {"recipe": to_dict(row), "labels": to_dict(detector.labels)})
    return detector


def _from_checkpoint(path, num_classes, overrides, name=None):
    """From a checkpoint of kdet, which knows its recipe; `name` is what it should be."""
    if path.is_file() and paddle.is_paddle(path):
        raise ConfigError(
            f"{path}: no kdet checkpoint; of Paddle's, say the row: NAME, weights=FILE"
        )
    path = checkpoint_of(path)
    entries, meta = describe_archive(path)
    row, labels = _description(path, meta)
    if name not in (None, row.name):
        raise ConfigError(f"{path}: holds {row.name!r}, not {name!r}; load it by its path alone")
    row = override(row, overrides)
    other = num_classes not in (None, len(labels))
    try:
        detector = _random(row, num_classes) if other else build(row.model, row.data, labels)
    except (ValueError, TypeError) as error:
        raise ArchiveError(f"{path}: its network cannot be built: {one_line(str(error))}") from None
    return _with_weights(detector, path, entries, other)


def _description(path, meta):
    try:
        row, labels = from_dict(meta["recipe"]), from_dict(meta["labels"])
    except KeyError as error:
        raise ArchiveError(f"{path}: its description has no {error}") from None
    except (ConfigError, TypeError, ValueError, AttributeError, RecursionError) as error:
        said = one_line(str(error))
        raise ArchiveError(f"{path}: its description is damaged: {said}") from None
    if not isinstance(row, Recipe) or not isinstance(labels, LabelMap):
        raise ArchiveError(f"{path}: its description is not a recipe and a label map")
    return row, labels


def _with_weights(detector, path, entries, new_classes=False):
    """Assigns the stored weights, one after the other; see `describe_archive` for `entries`."""
    weights = group(entries, "weights")
    variables = {v.path: v for v in detector.network.variables}
    fresh = [
        name
        for name, variable in variables.items()
        if new_classes
        and CLASS_LAYERS.match(name)
        and name in weights
        and weights[name].shape != tuple(variable.shape)
    ]
    for name in fresh:
        del variables[name], weights[name]
    check_complete(path, weights, {name: v.shape for name, v in variables.items()})
    for name, value in read_entries(path, [f"weights/{name}" for name in weights]):
        variables[name.removeprefix("weights/")].assign(value)
    if fresh:
        print(f"{path}: {Report(tuple(variables), tuple(fresh), ())}", file=sys.stderr)
    return detector


def _folder():
    """Where the recipes lie: inside an installed kdet, beside it in a checkout."""
    inside = Path(__file__).parents[1] / "recipes"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "recipes"
