"""kdet export: writes a detector for other programs."""

from __future__ import annotations

import argparse

from kdet.cli import add_model
from kdet.serving.formats import FORMATS

DESCRIPTION = """Writes a detector for programs that do not have kdet. The name OUT selects the
format: a folder for a TensorFlow SavedModel, .tflite for LiteRT, .onnx for ONNX, .xml for OpenVINO.
A file is for one image of one size. It is compared with the detector before it gets its name.
`kdet detect` and `kdet evaluate` take it as MODEL."""
EXAMPLE = "kdet export runs/mine cells.tflite --int8 records"


def add_arguments(parser):
    """Adds the arguments of the command."""
    add_model(parser)
    add = parser.add_argument
    add("out", metavar="OUT", help="a file or a folder; an earlier export is replaced")
    add("--format", choices=tuple(FORMATS), help="default: by the name OUT")
    add(
        "--size",
        type=_size,
        metavar="HxW",
        help="height and width of the images that the network sees, e.g. 320x320; smaller is "
        "faster (default: those of the detector, or a square that all of its images fit on)",
    )
    add(
        "--int8",
        metavar="DATA",
        help="compute with 8-bit integers (LiteRT; see docs/deploy.md for the rows); 100 images of "
        "this converted data set show the range of the values",
    )
    add("--no_nms", action="store_true", help="give the candidates before non-maximum suppression")


def _size(text):
    height, x, width = text.partition("x")
    if not x or not height.isdecimal() or not width.isdecimal() or not int(height) * int(width):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, e.g. 320x320; got {text!r}")
    return int(height), int(width)


def check(flags):
    """Checks that the export can be written there, and that its packages are installed."""
    from kdet.data.records import Records
    from kdet.serving import check_export

    check_export(flags.source.recipe.model, *_arguments(flags))
    if flags.int8:
        Records.open(flags.int8, "train")


def run(flags):
    """Loads the detector and exports it."""
    from kdet.models.loading import load_source

    print(load_source(flags.source).export(*_arguments(flags)))


def _arguments(flags):
    return flags.out, flags.format, flags.size, flags.int8, not flags.no_nms
