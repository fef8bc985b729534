"""What a detector is made from: a row of the zoo, or a checkpoint. Nothing here imports Keras."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kdet.config import LabelMap, Recipe
from kdet.config.labels import COCO_LABELS, VOC_LABELS
from kdet.config.rows import names, recipe
from kdet.config.text import from_dict, override
from kdet.errors import CheckpointError, ConfigError
from kdet.weights import paddle
from kdet.weights.npz import Entry, describe_npz, one_line


@dataclass(frozen=True)
class Source:
    """The recipe of a detector, and where its weights are.

    Attributes:
        recipe: the recipe, with overrides.
        labels: those of a checkpoint of kdet, or of the data set of a row. None: they are unknown.
        kind: "released", "paddle", "kdet" or "export"; None for random weights.
        path: the checkpoint of the kinds "paddle" and "kdet", or the exported detector.
        entries, meta: the description of a checkpoint of kdet, see `kdet.weights.npz`.
        engine: the engine of an exported detector.
    """

    recipe: Recipe
    labels: LabelMap | None
    kind: str | None
    path: Path | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    meta: dict = field(default_factory=dict)
    engine: str | None = None


def find_source(name, weights="released", overrides=()) -> Source:
    """Finds and checks what `kdet.load` was asked for, without reading weights.

    Args:
        name, weights, overrides: as for `kdet.load`.
    Raises:
        ConfigError: the row is unknown, a path or a setting is wrong, or the arguments contradict
            each other.
        CheckpointError: a checkpoint is missing or damaged.
    """
    if name not in names() and _is_path(name):
        if weights != "released":
            raise ConfigError(
                f"{name}: is a checkpoint; the argument weights is for rows of the zoo"
            )
        return _checkpoint(Path(name), overrides)
    row = override(recipe(name), overrides)
    if weights in ("released", None):
        return Source(row, labels_of(row), weights)
    path = Path(weights)
    if not path.exists():
        raise ConfigError(
            f"{name}: weights must be 'released', None or a path; there is no file {str(path)!r}"
        )
    if not paddle.is_paddle(path):
        return _checkpoint(path, overrides, name)
    if path.is_dir():
        paddle.find(path)  # a folder without tensors is an error
    return Source(row, labels_of(row), "paddle", path)


def checkpoint_of(path) -> Path:
    """The checkpoint at a path, which is a file or a run folder with best.npz or last.npz."""
    path = Path(path)
    if not path.is_dir():
        return path
    for name in ("best.npz", "last.npz"):
        if (path / name).is_file():
            return path / name
    raise CheckpointError(f"{path}: expected best.npz or last.npz in this folder")


def labels_of(recipe: Recipe) -> LabelMap | None:
    """The labels of the recipe's data set, if the model has as many classes."""
    known = {"coco": COCO_LABELS, "voc": VOC_LABELS}.get(recipe.data.dataset)
    return known if known and len(known) == recipe.model.num_classes else None


def _is_path(name):
    path = Path(name)
    return isinstance(name, Path) or path.suffix == ".npz" or path.name != name or path.exists()


def _checkpoint(path, overrides, name=None):
    """A checkpoint of kdet, which contains its recipe. `name` is the expected row."""
    if path.is_file() and paddle.is_paddle(path):
        raise ConfigError(
            f"{path}: not a checkpoint of kdet; for one of Paddle, give the row's name and "
            "weights=FILE"
        )
    path = checkpoint_of(path)
    entries, meta = describe_npz(path)
    row, labels = _description(path, meta)
    if name not in (None, row.name):
        raise ConfigError(f"{path}: holds {row.name!r}, not {name!r}; load it by its path alone")
    return Source(override(row, overrides), labels, "kdet", path, entries, meta)


def _description(path, meta):
    try:
        row, labels = from_dict(meta["recipe"]), from_dict(meta["labels"])
    except KeyError as error:
        raise CheckpointError(f"{path}: its description has no {error}") from None
    except (ConfigError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = one_line(str(error))
        raise CheckpointError(f"{path}: its description is damaged: {reason}") from None
    if not isinstance(row, Recipe) or not isinstance(labels, LabelMap):
        raise CheckpointError(f"{path}: its description is not a recipe and a label map")
    return row, labels
