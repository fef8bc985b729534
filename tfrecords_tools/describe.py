"""Prints what is in a data set; with --out, also draws nine of its images with their boxes.

python tfrecords_tools/describe.py data/train --out sheet.png
"""

from absl import app, flags

from kdet.data.describe import describe
from kdet.data.errors import DataError
from kdet.quiet import import_tensorflow

OUT = flags.DEFINE_string("out", None, "PNG file for the contact sheet.")


def main(arguments):
    """Prints the description of the folder named on the command line."""
    if len(arguments) != 2:
        raise SystemExit(f"error: expected one data set folder, got {len(arguments) - 1}")
    try:
        print(describe(arguments[1], OUT.value))
    except (DataError, OSError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    import_tensorflow()
    app.run(main)
