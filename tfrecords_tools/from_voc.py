"""Converts VOC XML files and images to TFRecord shards, like `kdet convert voc`.

python tfrecords_tools/from_voc.py --devkit VOCdevkit/VOC2012 \\
    --list VOCdevkit/VOC2012/ImageSets/Main/trainval.txt --out data/train
"""

import sys

from kdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["convert", "voc", *sys.argv[1:]]))
