"""kdet export: a detector as a SavedModel."""

from __future__ import annotations

from kdet.cli import add_model

DESCRIPTION = None


def add_arguments(parser):
    """The command's arguments."""
    add_model(parser)
    parser.add_argument("out", metavar="FOLDER", help="where the SavedModel goes")


def run(flags):
    """Loads and exports."""
    from kdet import models

    print(models.load(flags.model, flags.weights).export(flags.out))
