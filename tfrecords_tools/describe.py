"""Prints what is in a data set; with --out, also draws nine of its images with their boxes.

python tfrecords_tools/describe.py data/train --out sheet.png
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import app, flags  # noqa: E402

from kdet.data.describe import describe  # noqa: E402
from kdet.data.errors import DataError  # noqa: E402

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
    app.run(main)
