"""kdet export: writes a detector as a SavedModel."""

from __future__ import annotations

from kdet.cli import add_model

DESCRIPTION = """Writes a detector as a TensorFlow SavedModel, which takes image files or pixels and
gives boxes. To use it, only TensorFlow is needed."""
EXAMPLE = "kdet export runs/mine saved_model"


def add_arguments(parser):
    """Adds the arguments of the command."""
    add_model(parser)
    parser.add_argument(
        "out",
        metavar="FOLDER",
        help="a new folder for the SavedModel; an earlier SavedModel is replaced",
    )


def check(flags):
    """Checks that the SavedModel can be written there."""
    from kdet.serving import check_folder

    check_folder(flags.out)


def run(flags):
    """Loads the detector and exports it."""
    from kdet.models.loading import load_source

    print(load_source(flags.source).export(flags.out))
