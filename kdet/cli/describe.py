"""kdet describe: describes a converted data set as text, and nine of its images as a picture."""

from __future__ import annotations

DESCRIPTION = None


def add_arguments(parser):
    """Adds the arguments of the command."""
    parser.add_argument("folder", metavar="DIR", help="a converted data set")
    parser.add_argument("--out", metavar="PNG", help="also draw nine images with their boxes here")


def run(flags):
    """Prints the description, and draws the images if `--out` is given."""
    from kdet.data.convert.describe import describe

    print(describe(flags.folder, flags.out))
