"""Rows of the zoo by name, and detectors by name or file."""

from __future__ import annotations

import difflib
import runpy
from dataclasses import replace
from pathlib import Path

from kdet.config import ConfigError, LabelMap, Recipe
from kdet.models.detector import build
from kdet.overrides import from_dict, override
from kdet.weights.archive import ArchiveError, check_complete, group, read_archive


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


def load(name, weights="released", num_classes=None, overrides=()):
    """A detector by the name of its row, or from a kdet checkpoint.

    Args:
        name: a row of the zoo, or the path of a checkpoint (`best.npz`, `last.npz`) or of a run
            folder that holds one.
        weights: for a row: None for random weights, or a checkpoint's path. "released" weights
            cannot be fetched yet.
        num_classes: for a row with random weights: another number of classes.
        overrides: `key=value` changes of the recipe.
    Returns:
        `kdet.models.Detector`.
    Raises:
        ConfigError: unknown row, impossible combination.
        ArchiveError: a checkpoint that is damaged or does not fit.
    """
    if _is_path(name):
        return _from_checkpoint(Path(name), overrides)
    row = override(recipe(name), overrides)
    if weights == "released":
        raise ConfigError(
            f"{name}: published weights cannot be fetched yet; pass weights=None for random ones "
            f"or the path of a kdet checkpoint, e.g. of python recipes/{name}.py"
        )
    if weights is not None:
        return _from_checkpoint(Path(weights), overrides)
    if num_classes is not None:
        row = replace(row, model=replace(row.model, num_classes=num_classes))
    return build(row.model, row.data)


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
    return isinstance(name, Path) or Path(name).suffix == ".npz" or Path(name).is_dir()


def _from_checkpoint(path, overrides):
    path = checkpoint_of(path)
    arrays, meta = read_archive(path)
    try:
        row, labels = from_dict(meta["recipe"]), from_dict(meta["labels"])
    except KeyError as error:
        raise ArchiveError(f"{path}: its description has no {error}") from None
    except ConfigError as error:
        raise ArchiveError(f"{path}: its description is damaged: {error}") from None
    if not isinstance(row, Recipe) or not isinstance(labels, LabelMap):
        raise ArchiveError(f"{path}: its description is not a recipe and a label map")
    row = override(row, overrides)
    detector = build(row.model, row.data, labels)
    weights = group(arrays, "weights")
    variables = {v.path: v for v in detector.network.variables}
    check_complete(path, weights, {name: v.shape for name, v in variables.items()})
    for name, variable in variables.items():
        variable.assign(weights[name])
    return detector


def _folder():
    """Where the recipes lie: inside an installed kdet, beside it in a checkout."""
    inside = Path(__file__).parents[1] / "recipes"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "recipes"
