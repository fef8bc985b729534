"""kdet analyse: what a detector gets wrong, as one HTML page with figures."""

from __future__ import annotations

from pathlib import Path

from kdet.cli.evaluate import add_subject, subject

DESCRIPTION = """Shows what a detector gets wrong on a converted data set: AP per class and IoU,
precision and recall, score thresholds, kinds of errors, confused classes, sizes of objects,
learning curves, and the worst images. Writes report.html (one file), its figures as PNG files, and
analysis.json with all numbers."""


def add_arguments(parser):
    """Adds the arguments of the command."""
    add_subject(parser)
    parser.add_argument(
        "--out",
        help="folder of the report; default: the folder analysis beside the checkpoint, or "
        "runs/ROW/analysis for a row",
    )


def run(flags):
    """Writes the report, and prints its summary and its path."""
    from kdet import models
    from kdet.analyse import analyse
    from kdet.data.records import Records

    which, folder, data = subject(flags)
    records = Records.open(data, flags.split)
    detector = models.load(*which, overrides=flags.overrides)
    out = Path(flags.out) if flags.out else folder / "analysis"
    numbers = analyse(detector, records, out, folder / "log.jsonl", flags.batch)
    print(numbers["summary"])
    print(f"the report is {out / 'report.html'}")
