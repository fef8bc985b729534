"""The command line of training: parses arguments, runs, and returns the exit code."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from absl import flags

from kdet.config import Recipe
from kdet.config.text import override
from kdet.data.convert.any import cached_records
from kdet.errors import ConfigError, KdetError, LostWorkerError, NotFiniteError
from kdet.startup import import_tensorflow
from kdet.train.data_sets import open_splits
from kdet.train.help import help_text
from kdet.train.precheck import check

RENAMED = {"steps": "stop_after"}
DONE, NOT_FINITE, WRONG, LOST, STOPPED = 0, 1, 2, 3, 130


@dataclass(frozen=True)
class Options:
    """The values of the flags. `--help` explains each one."""

    data: str | None
    images: str | None
    out: str
    epochs: int | None
    stop_after: int | None
    batch: int | None
    accumulate: int | None
    fit_data: bool | None
    init: str
    resume: bool
    other_data: bool
    replicas: int
    precision: str
    jit: str
    seed: int
    eval_every: int | None
    patience: int | None
    checkpoint_every: int
    log_every: int
    deterministic: bool
    overrides: tuple[str, ...] = ()


def _flags():
    values = flags.FlagValues()

    def define(kind, name, default, text, **more):
        kind(name, default, text, flag_values=values, **more)

    text, whole, yes = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_boolean

    def choice(name, default, text, options):
        flags.DEFINE_enum(name, default, options, text, flag_values=values)

    define(
        text,
        "data",
        None,
        "data set of kdet convert, or the parent of train/ and val/; or annotations that are "
        "converted to a cache first: a COCO json, or a folder in the form of VOC or YOLO",
    )
    define(text, "images", None, "folder of the images of a COCO json in --data")
    define(text, "out", None, "folder of checkpoints, log, pictures, export; default: runs/ROW")
    define(
        whole,
        "epochs",
        None,
        "passes over the training images; the whole schedule becomes shorter or longer; default: "
        "the row's, or a number that fits the data set (see --fit_data)",
        lower_bound=1,
    )
    define(whole, "stop_after", None, "stop after so many steps of the schedule", lower_bound=1)
    define(whole, "batch", None, "images per step, all replicas together", lower_bound=1)
    define(
        whole,
        "accumulate",
        None,
        "compute a batch in so many parts, one after the other, to save memory",
        lower_bound=1,
    )
    define(
        yes,
        "fit_data",
        None,
        "fit image size, anchors, counts, length and learning rate to the data set; default: yes, "
        "unless its classes are those of COCO or VOC; `kdet plan` shows the result",
    )
    define(
        text,
        "init",
        None,
        "weights to start from: none, imagenet (the published backbone; default with --data), "
        "released, a kdet checkpoint, or Paddle's A.tar[,B.tar]",
    )
    define(yes, "resume", False, "continue from the last checkpoint in --out, if there is one")
    define(yes, "other_data", False, "let --resume continue with other training records")
    define(whole, "replicas", 0, "devices to use; 0: every GPU, or one CPU", lower_bound=0)
    choice("precision", "fp32", "number format of the network", ["fp32", "bf16", "fp16"])
    choice("jit", "auto", "compile the step with XLA", ["auto", "on", "off"])
    define(whole, "seed", 0, "seed of initial weights, data order, augmentation", lower_bound=0)
    define(
        whole,
        "eval_every",
        None,
        "steps between evaluations; 0: none; default: 5 evaluations a run (synthetic data: 2)",
    )
    define(
        whole,
        "patience",
        None,
        "stop early after so many evaluations without a better metric; default: never",
        lower_bound=1,
    )
    define(whole, "checkpoint_every", 500, "steps between checkpoints", lower_bound=1)
    define(whole, "log_every", 20, "steps between lines of the log", lower_bound=1)
    # Not the default: CPU runs are repeatable without it, and a step takes half the time.
    define(yes, "deterministic", False, "on GPUs: equal runs give equal bits, but slower")
    define(yes, "help", False, "show this text")
    return values


def parse(name: str, argv) -> Options | None:
    """The options in `argv`, or None if `--help` was printed.

    Args:
        name: name of the recipe, for the help text.
        argv: arguments without the program's name. `key=value` arguments are overrides.
    Raises:
        ConfigError: an unknown flag, or a value out of range.
    """
    values = _flags()
    old = next((a for a in argv if a.split("=")[0].lstrip("-") in RENAMED and a[0] == "-"), None)
    if old:
        flag = old.split("=")[0]
        raise ConfigError(f"{flag} is called --{RENAMED[flag.lstrip('-')]} now")
    try:
        _, *overrides = values([name, *argv])
    except flags.Error as error:
        raise ConfigError(" ".join(str(error).split())) from None
    if values.help:
        print(help_text(name, values.flags_by_module_dict()[__name__]), end="")
        return None
    if values.eval_every is not None and values.eval_every < 0:
        raise ConfigError(f"--eval_every must be at least 0, got {values.eval_every}")
    fields = {k: values[k].value for k in Options.__dataclass_fields__ if k != "overrides"}
    fields["out"] = fields["out"] or f"runs/{name}"
    fields["init"] = fields["init"] or ("imagenet" if values.data else "none")
    return Options(**fields, overrides=tuple(overrides))


def run(recipe: Recipe, argv) -> int:
    """Trains and returns the exit code (see `kdet.train.main`). Errors are one line on stderr."""
    try:
        options = parse(recipe.name, argv)
        if options is None:
            return DONE
        check(resolve(recipe, options), options)
        if options.data is not None:
            data = cached_records(options.data, options.images, before=import_tensorflow)
            open_splits(data)
            options = replace(options, data=str(data))
        # imported after the checks, so that --help and errors are fast
        import_tensorflow()
        from kdet.train.run import train

        return DONE if train(unplanned(recipe, options), options).complete else STOPPED
    except NotFiniteError as error:
        return _fail(NOT_FINITE, error)
    except LostWorkerError as error:
        return _fail(LOST, error)
    except (KdetError, OSError) as error:
        return _fail(WRONG, error)


def resolve(recipe: Recipe, options: Options) -> Recipe:
    """The recipe with the settings of the command line, without a plan for the data.

    Raises:
        ConfigError: an impossible override (see `kdet.config.text.override`), or a mask head
            without outlines.
    """
    recipe = with_options(unplanned(recipe, options), options)
    if recipe.model.needs_masks() and not recipe.data.max_edges:
        raise ConfigError(
            f"{recipe.name}: a mask head needs outlines of objects; set data.max_edges, e.g. to 96"
        )
    return recipe


def unplanned(recipe: Recipe, options: Options) -> Recipe:
    """The row, or its form for the synthetic data set. A plan may change it for other data."""
    return recipe if options.data is not None else recipe.model.synthetic(recipe)


def with_options(recipe: Recipe, options: Options) -> Recipe:
    """The recipe with --batch, --accumulate and the `key=value` settings of the command line."""
    given = {"batch": options.batch, "accumulate": options.accumulate}
    given = {name: value for name, value in given.items() if value is not None}
    recipe = replace(recipe, schedule=replace(recipe.schedule, **given))
    return override(recipe, options.overrides)


def _fail(code, error):
    print(f"error: {error}", file=sys.stderr)
    return code
