"""Converts a COCO json file and images to TFRecord shards, like `kdet convert coco`.

python tfrecords_tools/from_coco.py --annotations instances_train2017.json \\
    --images train2017 --out data/train
"""

import sys

from kdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["convert", "coco", *sys.argv[1:]]))
