"""Training from Python: the same run as that of the command line, started by a detector."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kdet.analyse.figures import learning
from kdet.analyse.history import read_log
from kdet.config import Optimizer, Recipe, Schedule
from kdet.data.convert.any import cached_records
from kdet.draw.sheets import contact_sheet
from kdet.train.cli import parse
from kdet.train.log import LOG
from kdet.train.precheck import check
from kdet.train.run import train


@dataclass(frozen=True)
class History:
    """The losses and metrics of a run. A notebook shows their curves.

    Attributes:
        out: folder of the run.
        history: {"losses", "val_losses", "eval"}: each maps "step" and the name of each number to a
            list. Losses are means over several steps. The lists of a group are equally long.
        complete: False if the run was stopped with Ctrl+C.
    """

    out: Path
    history: dict[str, dict[str, list]] = field(repr=False)
    complete: bool = True

    def draw(self):
        """The curves of losses and metrics as a PIL image."""
        return contact_sheet(list(learning(self.history).values()))

    def _repr_png_(self):
        return self.draw()._repr_png_()


def fit(detector, data, epochs=None, batch=None, out=None, callbacks=(), **options) -> History:
    """Trains a detector and changes it: its classes, images and anchors, and the best weights.

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
        History. After Ctrl+C it is the history up to then, and out=..., resume=True continues.
    Raises:
        KdetError: wrong data or options, in one line.
    """
    images, settings = options.pop("images", None), options.pop("settings", ())
    recipe = detector.recipe or _recipe_of(detector)
    out = Path(out) if out else _new_folder(recipe.name)
    flags = {"data": cached_records(data, images), "out": out, "epochs": epochs, "batch": batch}
    flags |= options
    given = [f"--{name}={value}" for name, value in flags.items() if value is not None]
    parsed = parse(recipe.name, [*given, *settings])
    check(recipe, parsed, init="init" in options)
    run = train(recipe, parsed, None if "init" in options else detector, callbacks)
    vars(detector).update(vars(run.detector))
    return History(out, read_log(out / LOG), run.complete)


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
