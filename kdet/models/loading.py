"""Recipes of the zoo by name, and detectors by name or from a file."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import runpy
import sys
from dataclasses import replace
from pathlib import Path

from keras import ops

from kdet.config import LabelMap, Recipe
from kdet.config.labels import COCO_LABELS, VOC_LABELS
from kdet.config.text import from_dict, override, to_dict, to_json
from kdet.errors import CheckpointError, ConfigError
from kdet.models.detector import Detector, build
from kdet.models.families import family_of
from kdet.weights import paddle
from kdet.weights.addresses import released
from kdet.weights.assign import load_strict, possible_names
from kdet.weights.download import cache_dir, download, recorded_sha256
from kdet.weights.match_classes import by_path, load_named
from kdet.weights.npz import describe_npz, group, one_line, read_entries, write_npz
from kdet.weights.paddle.names import to_reference


def names() -> tuple[str, ...]:
    """Names of all recipes, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("[a-z]*.py")))


def recipe(name) -> Recipe:
    """The recipe of a row, e.g. "retinanet_r50_fpn_1x".

    Raises:
        ConfigError: the zoo has no such row; the message suggests a similar name.
    """
    if name not in names():
        similar = difflib.get_close_matches(name, names(), 1)
        hint = f"did you mean {similar[0]!r}?" if similar else f"it has {', '.join(names())}"
        raise ConfigError(f"the zoo has no row {name!r}; {hint}")
    return runpy.run_path(str(_folder() / f"{name}.py"))["recipe"]


def load(name, weights="released", num_classes=None, overrides=(), mirror=None) -> Detector:
    """A detector by the name of its row, or from a kdet checkpoint.

    Args:
        name: a row of the zoo, or the path of a checkpoint (`best.npz`, `last.npz`) or of a run
            folder that contains one.
        weights: only for a row. "released" loads the published weights, which are downloaded once
            (`kdet.weights.download`). None gives random weights. A path loads a checkpoint of kdet
            or of Paddle (`kdet.weights.paddle.find` lists the kinds).
        num_classes: another number of classes. Class-dependent layers are re-initialised and listed
            on stderr; all others are loaded.
        overrides: `key=value` changes of the recipe.
        mirror: an address or a folder to download from; default: KDET_MIRROR.
    Returns:
        `kdet.Detector`. Loading is strict: a missing or unused tensor is an error.
    Raises:
        ConfigError: the row is unknown, or the arguments contradict each other.
        CheckpointError: a checkpoint is damaged or does not fit.
        DownloadError: the published weights cannot be downloaded.
    """
    if num_classes is not None and (type(num_classes) is not int or num_classes < 1):
        raise ConfigError(f"num_classes must be a whole number above 0; got {num_classes!r}")
    if name not in names() and _is_path(name):
        if weights != "released":
            raise ConfigError(
                f"{name}: is a checkpoint; the argument weights is for rows of the zoo"
            )
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
    """Writes the weights in the reference's format, one file per variable, which `load` can read.

    Folded batch norms are written as the reference's affine channels.

    Args:
        detector: `kdet.Detector`.
        folder: a new or empty folder.
    Raises:
        CheckpointError: the folder is not empty.
    """
    reference_name = family_of(detector.config).reference_name
    named = sorted((reference_name(v.path), v) for v in detector.network.variables)
    tensors = ((name, to_reference(ops.convert_to_numpy(v), name)) for name, v in named)
    paddle.write(folder, tensors)


def save(detector, path) -> None:
    """Writes a detector to one file; see `Detector.save`."""
    if detector.recipe is None:
        raise ConfigError("only a detector that was loaded or trained has a recipe to save with")
    arrays = {f"weights/{name}": v for name, v in by_path(detector.network).items()}
    meta = {"recipe": to_dict(detector.recipe), "labels": to_dict(detector.labels)}
    write_npz(path, arrays, meta)


def checkpoint_of(path) -> Path:
    """The checkpoint at a path, which is a file or a run folder with best.npz or last.npz."""
    path = Path(path)
    if not path.is_dir():
        return path
    for name in ("best.npz", "last.npz"):
        if (path / name).is_file():
            return path / name
    raise CheckpointError(f"{path}: expected best.npz or last.npz in this folder")


def data_of(path) -> Path | None:
    """The data set that the run of a checkpoint was trained with, or None if it does not say so.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
    """
    stored = describe_npz(path)[1].get("data_path")
    return Path(stored) if isinstance(stored, str) and stored else None


def _is_path(name):
    path = Path(name)
    return isinstance(name, Path) or path.suffix == ".npz" or path.name != name or path.exists()


def _built(row, labels=None):
    """A detector of a recipe with random weights; labels default to the data set's own."""
    if labels is None:
        known = {"coco": COCO_LABELS, "voc": VOC_LABELS}.get(row.data.dataset)
        labels = known if known and len(known) == row.model.num_classes else None
    detector = build(row.model, row.data, labels)
    detector.recipe = row
    return detector


def _random(row, num_classes):
    if num_classes is not None:
        row = replace(row, model=replace(row.model, num_classes=num_classes))
    return _built(row)


def _from_paddle(row, path, num_classes):
    detector = _random(row, num_classes)
    network, family = detector.network, family_of(row.model)
    parts = paddle.find(path, possible_names(network, family))
    new_classes = num_classes is not None
    report = load_strict(network, family, detector.config, parts, path, new_classes)
    if report.initialized:
        print(f"{path}: {report}", file=sys.stderr)
    return detector


def _released(row, num_classes, mirror):
    """A detector with the published weights. A converted copy is cached as a kdet checkpoint."""
    path = download(released(row.name), mirror, check=paddle.find)
    if num_classes is not None:
        return _from_paddle(row, path, num_classes)
    # a new archive or another model config must not use the old copy
    key = f"{recorded_sha256(path)} {to_json(row.model)}".encode()
    kept = cache_dir() / "converted" / f"{row.name}-{hashlib.sha256(key).hexdigest()[:16]}.npz"
    if kept.is_file():
        with contextlib.suppress(CheckpointError):  # a damaged copy is replaced below
            detector = _built(row)
            return _with_weights(detector, kept, describe_npz(kept)[0], detector.labels)
    detector = _from_paddle(row, path, None)
    with contextlib.suppress(OSError):  # loading also works without a cache, e.g. on a full disk
        kept.parent.mkdir(exist_ok=True)
        save(detector, kept)
    return detector


def _from_checkpoint(path, num_classes, overrides, name=None):
    """A detector from a kdet checkpoint, which contains its recipe; `name` is the expected row."""
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
    row = override(row, overrides)
    other = num_classes not in (None, len(labels))
    try:
        detector = _random(row, num_classes) if other else _built(row, labels)
    except (ValueError, TypeError) as error:
        reason = one_line(str(error))
        raise CheckpointError(f"{path}: its network cannot be built: {reason}") from None
    return _with_weights(detector, path, entries, labels)


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


def _with_weights(detector, path, entries, labels):
    """Assigns the stored weights one by one; `labels` are those of the checkpoint."""
    report = load_named(
        detector.network,
        family_of(detector.config),
        detector.config,
        group(entries, "weights"),
        labels.names,
        detector.labels.names,
        path,
        lambda paths: read_weights(path, paths),
    )
    if report.initialized or report.matched:
        print(f"{path}: {report}", file=sys.stderr)
    return detector


def read_weights(path, names):
    """Yields (variable path, array) of the weights with these names in a kdet checkpoint."""
    for name, value in read_entries(path, [f"weights/{name}" for name in names]):
        yield name.removeprefix("weights/"), value


def _folder():
    """The folder of the recipes, which is inside an installed kdet but next to it in a checkout."""
    inside = Path(__file__).parents[1] / "recipes"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "recipes"
