"""Training from Python: the same run as that of the command line, started by a detector."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from kdet.config import Optimizer, Recipe, Schedule
from kdet.data.convert.any import cached_records
from kdet.errors import ConfigError
from kdet.train.cli import parse
from kdet.train.log import LOG
from kdet.train.run import train


@dataclass(frozen=True)
class History:
    """The log of a run.

    Attributes:
        out: folder of the run.
        history: name -> list of numbers. Losses are means over several steps. Metrics and losses
            of the validation have "val/" in front of their names.
        steps: name -> list of the steps that belong to these numbers.
    """

    out: Path
    history: dict[str, list[float]] = field(default_factory=dict)
    steps: dict[str, list[int]] = field(default_factory=dict)

    def __repr__(self):
        last = ", ".join(f"{k} {v[-1]:.4g}" for k, v in self.history.items() if v)
        return f"History of {self.out}: {last}"

    def draw(self):
        """The curves of losses and metrics as a PIL image."""
        from kdet.draw.charts import learning_curves

        return learning_curves(self.history, self.steps)

    def _repr_png_(self):
        return self.draw()._repr_png_()


def fit(detector, data, epochs=None, batch=None, out=None, callbacks=(), **options) -> History:
    """Trains a detector and changes it: its weights, and also its classes, images and anchors.

    The settings are fitted to the data as in `kdet train` (see `kdet plan`). A detector with random
    weights starts from them, and every other detector is fine-tuned. Checkpoints, the log, pictures
    and a SavedModel are written to `out`.

    Args:
        detector: `kdet.Detector`.
        data: a converted data set (or the parent of train/ and val/), or annotations that are
            converted to a cache first; see `kdet.data.convert.any.cached_records`.
        epochs: passes over the training images. None chooses a number for the data set.
        batch: images per step. None chooses one.
        out: folder of the run. None makes a new folder runs/NAME, runs/NAME_2, ...
        callbacks: Keras callbacks; see `kdet.train.callbacks`. With callbacks, an evaluation takes
            place after every epoch, unless eval_every is given.
        **options: flags of `kdet train`, e.g. patience=3, init="imagenet", seed=1, resume=True;
            `images` is the folder of the images of a COCO json; `settings` is a list of
            "key=value" settings.
    Returns:
        History. After Ctrl+C it is the history up to then, and resume=True continues.
    Raises:
        KdetError: wrong data or options, in one line.
    """
    images, settings = options.pop("images", None), options.pop("settings", ())
    data = cached_records(data, images)
    recipe = detector.recipe or _recipe_of(detector)
    out = Path(out) if out else _new_folder(recipe.name)
    flags = {"data": data, "out": out, "epochs": epochs, "batch": batch, **options}
    given = [f"--{name}={value}" for name, value in flags.items() if value is not None]
    parsed = parse(recipe.name, [*given, *settings])
    source = None if "init" in options else detector
    run = train(recipe, parsed, source, callbacks)
    for name in ("network", "model", "config", "data", "labels", "recipe", "trained"):
        setattr(detector, name, getattr(run.detector, name))
    detector._compiled = None
    return read_history(out)


def read_history(out) -> History:
    """The history of a run folder. Raises ConfigError if there is no log."""
    path = Path(out) / LOG
    if not path.is_file():
        raise ConfigError(f"{path}: expected the log of a run, found nothing")
    history = History(Path(out))
    for line in path.read_text("utf-8").splitlines():
        line = json.loads(line)
        numbers = dict(line.get("losses", {}))
        numbers |= {f"val/{k}": v for k, v in {**line.get("eval", {})}.items()}
        numbers |= {f"val/{k}": v for k, v in {**line.get("val_losses", {})}.items()}
        if "rate" in line:
            numbers["learning_rate"] = line["rate"]
        for name, value in numbers.items():
            if value is not None:
                history.history.setdefault(name, []).append(value)
                history.steps.setdefault(name, []).append(line["step"])
    return history


def _recipe_of(detector):
    """A recipe for a detector that was built and not loaded. The plan sets its schedule."""
    name = type(detector.config).__name__.lower()
    schedule = Schedule(images=90_000 * 16, milestones=(), base_lr=0.01)
    return Recipe(name, detector.config, detector.data, schedule, Optimizer())


def _new_folder(name):
    """runs/NAME, or the first of runs/NAME_2, ... that does not exist."""
    path, number = Path("runs") / name, 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{name}_{number}"
    return path
