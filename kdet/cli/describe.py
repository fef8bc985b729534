"""kdet describe: a data set in words, and nine of its images as a picture."""

from __future__ import annotations

DESCRIPTION = None


def add_arguments(parser):
    """The command's arguments."""
    parser.add_argument("folder", metavar="DIR", help="a converted data set")
    parser.add_argument("--out", metavar="PNG", help="also draw nine images with their boxes here")


def run(flags):
    """Prints the description of the data set."""
    from kdet.data.convert.describe import describe

    print(describe(flags.folder, flags.out))
