"""kdet export: writes a detector as a SavedModel."""

from __future__ import annotations

from kdet.cli import add_model

DESCRIPTION = None


def add_arguments(parser):
    """Adds the arguments of the command."""
    add_model(parser)
    parser.add_argument("out", metavar="FOLDER", help="new folder of the SavedModel")


def run(flags):
    """Loads the detector and exports it."""
    from kdet import models

    print(models.load(flags.model, flags.weights).export(flags.out))
