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
from kdet.train.flags import FLAGS, define
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


def parse(name: str, argv) -> Options | None:
    """The options in `argv`, or None if `--help` was printed.

    Args:
        name: name of the recipe, for the help text.
        argv: arguments without the program's name. `key=value` arguments are overrides.
    Raises:
        ConfigError: an unknown flag, or a value out of range.
    """
    values = define()
    old = next((a for a in argv if a.split("=")[0].lstrip("-") in RENAMED and a[0] == "-"), None)
    if old:
        flag = old.split("=")[0]
        raise ConfigError(f"{flag} is called --{RENAMED[flag.lstrip('-')]} now")
    try:
        _, *overrides = values([name, *argv])
    except flags.Error as error:
        raise ConfigError(" ".join(str(error).split())) from None
    if values.help:
        print(help_text(name, [values[flag] for flag in FLAGS]), end="")
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
