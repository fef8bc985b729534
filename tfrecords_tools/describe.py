"""Describes a converted data set and can draw nine of its images, like `kdet describe`.

python tfrecords_tools/describe.py data/train --out sheet.png
"""

import sys

from kdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["describe", *sys.argv[1:]]))
