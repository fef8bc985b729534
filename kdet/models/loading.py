"""Detectors by the name of a row, or from a file."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from dataclasses import replace

from keras import ops

from kdet.config.text import to_dict, to_json
from kdet.errors import CheckpointError, ConfigError
from kdet.models.detector import Detector, build
from kdet.models.families import family_of
from kdet.serving.formats import is_export, source_of
from kdet.weights import paddle
from kdet.weights.addresses import released
from kdet.weights.assign import load_strict, possible_names
from kdet.weights.download import cache_dir, download, recorded_sha256
from kdet.weights.match_classes import by_path, load_named
from kdet.weights.npz import describe_npz, group, one_line, read_weights, write_npz
from kdet.weights.paddle.names import to_reference
from kdet.weights.sources import Source, find_source, labels_of


def load(name, weights="released", num_classes=None, overrides=(), mirror=None) -> Detector:
    """A detector by the name of its row, or from a kdet checkpoint.

    Args:
        name: a row of the zoo, or the path of a checkpoint (`best.npz`, `last.npz`), of a run
            folder that contains one, or of an exported detector.
        weights: only for a row. "released" loads the published weights, which are downloaded once
            (`kdet.weights.download`). None gives random weights. A path loads a checkpoint of kdet
            or of Paddle (`kdet.weights.paddle.find` lists the kinds).
        num_classes: another number of classes. Class-dependent layers are re-initialised and listed
            on stderr; all others are loaded.
        overrides: `key=value` changes of the recipe.
        mirror: an address or a folder to download from; default: KDET_MIRROR.
    Returns:
        `kdet.Detector`, or what `Detector.from_export` gives for an exported detector. Loading is
        strict: a missing or unused tensor is an error.
    Raises:
        ConfigError: the row is unknown, or the arguments contradict each other.
        CheckpointError: a checkpoint is damaged or does not fit.
        DownloadError: the published weights cannot be downloaded.
    """
    if is_export(name):
        return load_source(source_of(name))
    if num_classes is not None and (type(num_classes) is not int or num_classes < 1):
        raise ConfigError(f"num_classes must be a whole number above 0; got {num_classes!r}")
    return load_source(find_source(name, weights, overrides), num_classes, mirror)


def load_source(source: Source, num_classes=None, mirror=None) -> Detector:
    """A detector from what `kdet.weights.sources.find_source` found; see `load`."""
    if source.kind == "export":
        from kdet.serving.engines import from_export

        return from_export(source.path, source.engine)
    if source.kind is None:
        return _random(source.recipe, num_classes)
    if source.kind == "released":
        return _released(source.recipe, num_classes, mirror)
    if source.kind == "paddle":
        return _from_paddle(source.recipe, source.path, num_classes)
    return _from_checkpoint(source, num_classes)


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


def _built(row, labels=None):
    """A detector of a recipe with random weights; labels default to the data set's own."""
    detector = build(row.model, row.data, labels or labels_of(row))
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
    detector.trained = True
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


def _from_checkpoint(source, num_classes):
    """A detector from a checkpoint of kdet."""
    row, labels = source.recipe, source.labels
    other = num_classes not in (None, len(labels))
    try:
        detector = _random(row, num_classes) if other else _built(row, labels)
    except (ValueError, TypeError) as error:
        reason = one_line(str(error))
        raise CheckpointError(f"{source.path}: its network cannot be built: {reason}") from None
    return _with_weights(detector, source.path, source.entries, labels)


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
    detector.trained = True
    if report.initialized or report.matched:
        print(f"{path}: {report}", file=sys.stderr)
    return detector
