"""kdet train ROW: the same as `python recipes/ROW.py`, also without a checkout of kdet."""

from __future__ import annotations

import sys

USAGE = """usage: kdet train ROW [--data DIR] [--out DIR] [flags] [key=value ...]

kdet zoo lists the rows; kdet train ROW --help lists the flags."""


def main(arguments) -> int:
    """Trains a row and returns the exit code (see `kdet.train.main`)."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    from kdet.errors import ConfigError
    from kdet.startup import import_tensorflow

    import_tensorflow()
    from kdet import models
    from kdet.train.cli import run

    try:
        recipe = models.recipe(arguments[0])
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return run(recipe, arguments[1:])
