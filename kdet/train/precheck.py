"""Checks of the files of a run that need no TensorFlow, so that mistakes are reported at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

from kdet.config import Recipe
from kdet.errors import ConfigError
from kdet.files import check_out
from kdet.weights import paddle
from kdet.weights.addresses import start_url
from kdet.weights.sources import checkpoint_of


def check(recipe: Recipe, options, init: bool = True) -> None:
    """Checks TF_CONFIG, --out and --init before anything slow happens.

    Args:
        recipe: the recipe with the settings of the command line.
        options: `kdet.train.cli.Options`.
        init: whether --init is used. A detector may be given instead.
    Raises:
        KdetError: a path is wrong, or the run would replace another run.
    """
    check_workers(options.replicas)
    last = check_out(options.out) / "last.npz"
    if last.exists() and not options.resume:
        raise ConfigError(
            f"{last} exists: add --resume to continue this run, or choose another --out"
        )
    if not init or last.exists():  # the run continues from a checkpoint, or a detector is given
        return
    if options.init == "imagenet":
        start_url(recipe.model)
    elif options.init not in ("none", "released"):
        init_files(options.init)


def check_workers(replicas: int = 0) -> bool:
    """Whether TF_CONFIG in the environment asks for several machines.

    Args:
        replicas: the value of --replicas.
    Raises:
        ConfigError: TF_CONFIG is wrong, or --replicas is given, too.
    """
    if not os.environ.get("TF_CONFIG"):
        return False
    if replicas:
        raise ConfigError("with TF_CONFIG every worker uses all its devices: leave --replicas out")
    try:
        config = json.loads(os.environ["TF_CONFIG"])
        workers, index = config["cluster"]["worker"], config["task"]["index"]
        if config["task"]["type"] != "worker" or not 0 <= index < len(workers):
            raise ValueError(f"task {config['task']} of {len(workers)} workers")
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            'TF_CONFIG must be {"cluster": {"worker": ["host:port", ...]}, '
            f'"task": {{"type": "worker", "index": 0}}}}; got {error!r}'
        ) from None
    return True


def init_files(paths: str) -> list[Path]:
    """The checkpoints that --init names: one of kdet, or one or several of Paddle.

    Args:
        paths: paths, joined by commas. For a run folder, the result has its checkpoint.
    Raises:
        ConfigError: no such file.
        CheckpointError: a folder contains no checkpoint.
    """
    files = [Path(path.strip()) for path in paths.split(",")]
    absent = [str(path) for path in files if not path.exists()]
    if absent:
        raise ConfigError(
            f"--init takes none, imagenet, released or checkpoints; there is no file {absent[0]!r}"
        )
    if len(files) == 1 and not paddle.is_paddle(files[0]):
        return [checkpoint_of(files[0])]
    for path in files:
        if path.is_dir():
            paddle.find(path)  # a folder without tensors is an error
    return files
