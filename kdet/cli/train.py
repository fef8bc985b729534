"""kdet train ROW: the same as `python recipes/ROW.py`, also without a checkout of kdet."""

from __future__ import annotations

import sys

USAGE = """usage: kdet train ROW [--data DIR] [--out DIR] [flags] [key=value ...]

Trains a row of the zoo on a converted data set, and evaluates it during the training. Without
--data, it trains on built-in synthetic images, which takes minutes and shows that everything works.
kdet zoo lists the rows. kdet train ROW --help lists the flags.

example:
  kdet train yolov3_mobilenet_v1 --data records --out runs/mine --init released --epochs 30"""


def main(arguments) -> int:
    """Trains a row and returns the exit code (see `kdet.train.main`)."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    from kdet.config.rows import recipe
    from kdet.errors import ConfigError
    from kdet.train.cli import run

    try:
        if arguments[0].startswith("-"):
            raise ConfigError("the name of a row comes first; kdet zoo lists the rows")
        row = recipe(arguments[0])
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return run(row, arguments[1:])
