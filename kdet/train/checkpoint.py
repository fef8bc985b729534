"""What a run stores, and reading it back: complete or an error.

weights/<path>, slots/<path>    see `kdet.weights.archive`
meta  version, step, seed, precision, loss_scale [value, good steps], best, batch,
      recipe and labels (`kdet.overrides.to_dict`)
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np

from kdet.config import ConfigError, LabelMap, Recipe
from kdet.models.zoo import checkpoint_of
from kdet.overrides import to_dict
from kdet.weights import paddle
from kdet.weights.archive import ArchiveError, check_complete, group, read_archive, write_archive
from kdet.weights.fetch import FetchError, fetch
from kdet.weights.fill import Report, start
from kdet.weights.sources import backbone, released

VERSION = 1
PUBLISHED = ("imagenet", "released")


def describe_run(recipe: Recipe, labels: LabelMap, seed: int, precision: str) -> dict:
    """The part of `meta` that a resumed run must share with the stored one, JSON-ready."""
    about = {"recipe": to_dict(recipe), "labels": to_dict(labels)}
    return json.loads(json.dumps({**about, "seed": seed, "precision": precision}))


def save(path, trainer, about: dict, best: float | None = None) -> None:
    """Writes weights, slots, step and loss scale of a trainer.

    Args:
        path: the `.npz` file to replace.
        trainer: a `kdet.train.trainer.Trainer`.
        about: from `describe_run`.
        best: the best metric so far.
    """
    arrays = {f"weights/{name}": v.numpy() for name, v in by_path(trainer.network).items()}
    arrays |= {f"slots/{name}": v.numpy() for name, v in trainer.optimizer.slots.items()}
    scale = trainer.loss_scale
    meta = {
        **about,
        "version": VERSION,
        "step": trainer.step,
        "batch": trainer.schedule.batch,
        "loss_scale": [scale.value, scale.good],
        "best": best,
    }
    write_archive(path, arrays, meta)


def restore(path, trainer, about: dict) -> float | None:
    """Puts a trainer where `save` found it and returns the best metric so far.

    Raises:
        ArchiveError: damaged file, another network, recipe, seed, precision or label map.
    """
    arrays, meta = read_archive(path)
    _check_version(path, meta)
    for key, wanted in about.items():
        difference = _difference(meta.get(key), wanted, key)
        if difference:
            raise ArchiveError(
                f"{path}: --resume needs the settings of the stored run; {difference}"
            )
    weights, slots = group(arrays, "weights"), group(arrays, "slots")
    variables, buffers = by_path(trainer.network), trainer.optimizer.slots
    check_complete(path, weights, {k: v.shape for k, v in variables.items()})
    check_complete(path, slots, {k: v.shape for k, v in buffers.items()})
    try:
        step, best = int(meta["step"]), meta["best"]
        value, good = meta["loss_scale"]
    except (KeyError, TypeError, ValueError) as error:
        raise ArchiveError(f"{path}: step, best or loss_scale is missing: {error!r}") from None
    assign(variables, weights)
    assign(buffers, slots)
    trainer.step, trainer.loss_scale.value, trainer.loss_scale.good = step, value, good
    return best


def start_from(paths: str, recipe: Recipe, network, labels: LabelMap) -> Report:
    """Starts a new run from stored weights; what they lack keeps its initial values.

    Args:
        paths: "imagenet", the published backbone that the reference starts from; "released", the
            published detector; a kdet checkpoint or a run folder, all of which must fit (see
            `initialise`); or checkpoints of Paddle joined by commas, the later ones first where
            they overlap: whole detectors, also of other classes, or backbones (see
            `kdet.weights.fill.start`).
        recipe: of the run.
        network: keras.Model; its variables are assigned.
        labels: classes of the new run.
    Raises:
        ConfigError: no such file. ArchiveError: damaged, it does not fit, or it cannot be fetched.
    """
    if paths in PUBLISHED:
        url = backbone(recipe.model) if paths == "imagenet" else released(recipe.name)
        try:
            paths = str(fetch(url, check=paddle.find))
        except FetchError as error:
            raise FetchError(f"{error}; --init none starts from random weights") from None
    files = [Path(path.strip()) for path in paths.split(",")]
    absent = [str(path) for path in files if not path.exists()]
    if absent:
        raise ConfigError(
            f"--init takes none, imagenet, released or checkpoints; {absent[0]!r} is no file"
        )
    if len(files) == 1 and not paddle.is_paddle(files[0]):
        fresh = initialise(checkpoint_of(files[0]), network, labels)
        loaded = tuple(path for path in by_path(network) if path not in fresh)
        return Report(loaded, tuple(fresh), ())
    parts = {}
    for path in files:
        parts |= paddle.find(path)
    return start(network, parts, paths)


def initialise(path, network, labels: LabelMap) -> list[str]:
    """Starts a new run from the weights of another one.

    All weights must fit. Only where the numbers of classes differ may the last axis of a weight
    differ as well, by a multiple of the difference: such a weight keeps its fresh value.

    Returns:
        Paths of the weights that were not taken over.
    Raises:
        ArchiveError: anything else does not fit.
    """
    arrays, meta = read_archive(path)
    _check_version(path, meta)
    stored, variables = group(arrays, "weights"), by_path(network)
    try:
        change = len(labels) - len(meta["labels"]["names"])
    except (KeyError, TypeError):
        raise ArchiveError(f"{path}: the label map is missing") from None
    fresh = [
        name
        for name, variable in variables.items()
        if name in stored and _differs_by_classes(stored[name].shape, variable.shape, change)
    ]
    stored = {name: value for name, value in stored.items() if name not in fresh}
    kept = {name: variable for name, variable in variables.items() if name not in fresh}
    check_complete(path, stored, {k: v.shape for k, v in kept.items()})
    assign(kept, stored)
    return fresh


def _differs_by_classes(old, new, change):
    if not change or len(old) != len(new) or not len(new) or tuple(old[:-1]) != tuple(new[:-1]):
        return False
    return old[-1] != new[-1] and (new[-1] - old[-1]) % change == 0


def by_path(network) -> dict:
    """Path -> variable for everything a network remembers. Raises ConfigError for equal paths."""
    variables = {v.path: v for v in network.variables}
    if len(variables) != len(network.variables):
        paths = [v.path for v in network.variables]
        twice = sorted({p for p in paths if paths.count(p) > 1})
        raise ConfigError(f"variables share a path: {', '.join(twice)}")
    return variables


def assign(variables: dict, values: dict) -> None:
    """Assigns values to variables of the same names, on every replica."""
    for name, variable in variables.items():
        variable.assign(values[name])


def checksum(network) -> int:
    """CRC-32 over all weights: equal on workers that start equal."""
    code = 0
    for _, variable in sorted(by_path(network).items()):
        code = zlib.crc32(np.ascontiguousarray(variable.numpy()), code)
    return code


def _check_version(path, meta):
    if meta.get("version") != VERSION:
        raise ArchiveError(f"{path}: expected version {VERSION}, got {meta.get('version')!r}")


def _difference(stored, wanted, key):
    """The first field in which two JSON values differ, or None."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for name in sorted({*stored, *wanted}):
            found = _difference(stored.get(name), wanted.get(name), f"{key}.{name}")
            if found:
                return found
        return None
    return None if stored == wanted else f"{key} is {stored!r} there and {wanted!r} here"
