"""kdet describe: describes a converted data set as text, and nine of its images as a picture."""

from __future__ import annotations

from pathlib import Path

DESCRIPTION = """Counts the images, objects and classes of a converted data set, and shows the sizes
of images and boxes."""
EXAMPLE = "kdet describe records/train --out sheet.png"


def add_arguments(parser):
    """Adds the arguments of the command."""
    parser.add_argument(
        "folder", metavar="DIR", help="a converted data set (a folder with dataset.json)"
    )
    parser.add_argument(
        "--out", metavar="PNG", help="also draw nine images with their boxes into this file"
    )


def check(flags):
    """Opens the data set."""
    from kdet.data.records import Records
    from kdet.errors import ConfigError

    flags.records = Records.open(flags.folder)
    if flags.out and not Path(flags.out).absolute().parent.is_dir():
        raise ConfigError(f"--out {flags.out}: there is no folder {Path(flags.out).parent}")


def run(flags):
    """Prints the description, and draws the images if `--out` is given."""
    from kdet.data.convert.describe import describe

    print(describe(flags.records, flags.out))
