"""The weights from which a new run starts: a backbone, a detector, or those of an object."""

from __future__ import annotations

from kdet.config import LabelMap, Recipe
from kdet.errors import CheckpointError, DownloadError
from kdet.models.families import family_of
from kdet.train.checkpoint import check_version
from kdet.train.precheck import init_files
from kdet.weights import paddle
from kdet.weights.addresses import released, start_url
from kdet.weights.assign import LoadReport, load_partial
from kdet.weights.download import download
from kdet.weights.match_classes import by_path, load_named
from kdet.weights.npz import describe_npz, group, read_weights

PUBLISHED = ("imagenet", "released")


def start_kind(paths: str, recipe: Recipe) -> str:
    """What the weights at `paths` are: "detector", "backbone", or "nothing" for "none".

    Args: see `start_from`.
    Raises:
        ConfigError: no such file.
        CheckpointError: a file is damaged.
    """
    if paths in ("none", *PUBLISHED):
        return {"none": "nothing", "imagenet": "backbone", "released": "detector"}[paths]
    family = family_of(recipe.model)
    files = init_files(paths)
    if not paddle.is_paddle(files[0]):
        return "detector"
    names = [name for path in files for name in paddle.find(path)]
    return "detector" if any(map(family.is_head_tensor, names)) else "backbone"


def start_from(paths: str, recipe: Recipe, network, labels: LabelMap) -> LoadReport:
    """Starts a new run from stored weights. Variables without weights keep their initial values.

    Args:
        paths: "imagenet" is the published backbone from which the reference starts. "released" is
            the published detector. Otherwise a kdet checkpoint or a run folder, whose classes are
            matched by name (`kdet.weights.match_classes.load_named`), or checkpoints of Paddle,
            joined by commas. These are backbones or detectors, also with other classes
            (`kdet.weights.assign.load_partial`). If two of them have a tensor, the later one is
            used.
        recipe: the recipe of the run.
        network: keras.Model whose variables are assigned.
        labels: classes of the new run.
    Raises:
        ConfigError: no such file.
        CheckpointError: a file is damaged, does not fit, or cannot be downloaded.
    """
    family = family_of(recipe.model)
    if paths in PUBLISHED:
        paths = _published(paths, recipe)
    files = init_files(paths)
    if len(files) == 1 and not paddle.is_paddle(files[0]):
        return _start_from_kdet(files[0], recipe.model, network, labels)
    parts = {}
    for path in files:
        parts |= paddle.find(path)
    return load_partial(network, family, recipe.model, parts, paths)


def start_from_detector(source, detector) -> LoadReport:
    """Copies the weights of a detector to another one of the same network; see `load_named`.

    Args:
        source, detector: `kdet.Detector`s. Classes are matched by their names.
    """
    stored = by_path(source.network)
    return load_named(
        detector.network,
        family_of(detector.config),
        detector.config,
        stored,
        source.labels.names,
        detector.labels.names,
        "the detector",
        lambda paths: ((path, stored[path].numpy()) for path in paths),
    )


def _published(which, recipe):
    """The path of published weights, which are downloaded if necessary."""
    url = released(recipe.name) if which == "released" else start_url(recipe.model)
    try:
        return str(download(url, check=paddle.find))
    except DownloadError as error:
        raise DownloadError(f"{error}; --init none starts from random weights") from None


def _start_from_kdet(path, config, network, labels):
    entries, meta = describe_npz(path)
    check_version(path, meta)
    try:
        names = tuple(meta["labels"]["names"])
    except (KeyError, TypeError):
        raise CheckpointError(f"{path}: the label map is missing") from None
    return load_named(
        network,
        family_of(config),
        config,
        group(entries, "weights"),
        names,
        labels.names,
        path,
        lambda paths: read_weights(path, paths),
    )
