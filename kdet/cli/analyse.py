"""kdet analyse: what a detector gets wrong, as one HTML page with figures."""

from __future__ import annotations

from kdet.cli.evaluate import add_subject, check_subject
from kdet.files import check_out

DESCRIPTION = """Shows what a detector gets wrong on a converted data set: AP per class and IoU,
precision and recall, score thresholds, kinds of errors, confused classes, sizes of objects,
learning curves, and the worst images. Writes report.html (one file), its figures as PNG files, and
analysis.json with all numbers."""
EXAMPLE = "kdet analyse runs/mine"


def add_arguments(parser):
    """Adds the arguments of the command."""
    add_subject(parser)
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of the report; default: the folder analysis beside the checkpoint, or "
        "runs/ROW/analysis for a row",
    )


def check(flags):
    """Finds the records and the folders."""
    flags.home = check_subject(flags)
    flags.out = check_out(flags.out or flags.home / "analysis")


def run(flags):
    """Writes the report, and prints its summary and its path."""
    from kdet.analyse import analyse
    from kdet.train.shares import load_on_devices

    detector, predict = load_on_devices(flags.source, flags.replicas)
    log = flags.home / "log.jsonl"
    numbers = analyse(detector, flags.records, flags.out, log, flags.batch, predict)
    print(numbers["summary"])
    print(f"the report is {flags.out / 'report.html'}")
