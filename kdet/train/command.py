"""The training command: arguments -> recipe -> session -> exit code."""

from __future__ import annotations

import sys
from dataclasses import replace

from kdet.config import RCNN, ConfigError, Recipe, drawn
from kdet.overrides import override
from kdet.quiet import import_tensorflow
from kdet.train.options import Options, parse

DONE, NOT_FINITE, WRONG, LOST, STOPPED = 0, 1, 2, 3, 130


def run(recipe: Recipe, argv) -> int:
    """Trains; returns the exit code (see `kdet.train.main`). Errors are one line on stderr."""
    try:
        options = parse(recipe.name, argv)
        if options is None:
            return DONE
        recipe = resolve(recipe, options)
    except ConfigError as error:
        return _fail(WRONG, error)
    import_tensorflow()
    from kdet.train import session
    from kdet.train.trainer import NotFinite

    try:
        finished = session.train(recipe, options)
    except NotFinite as error:
        return _fail(NOT_FINITE, error)
    except session.LostWorker as error:
        return _fail(LOST, error)
    except (ValueError, OSError) as error:
        if not isinstance(error, (OSError, *session.EXPECTED)):
            raise  # a defect, whose traceback is wanted
        return _fail(WRONG, error)
    return DONE if finished else STOPPED


def resolve(recipe: Recipe, options: Options) -> Recipe:
    """The recipe as the command line wants it; the number of classes comes with the data.

    Raises:
        ConfigError: see `kdet.overrides.override`; a mask head, and data without outlines.
    """
    if options.data is None:
        recipe = drawn(recipe)
    if options.batch is not None:
        recipe = replace(recipe, schedule=replace(recipe.schedule, batch=options.batch))
    recipe = override(recipe, options.overrides)
    if isinstance(recipe.model, RCNN) and recipe.model.mask and not recipe.data.max_edges:
        raise ConfigError(f"{recipe.name}: a mask head needs outlines; set data.max_edges, e.g. 96")
    return recipe


def _fail(code, error):
    print(f"error: {error}", file=sys.stderr)
    return code
