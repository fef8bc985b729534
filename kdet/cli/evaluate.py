"""kdet evaluate: the metrics of a row, of a checkpoint, or of a run's best checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kdet.cli import add_model

DESCRIPTION = """Measures a detector on a converted data set. Prints the metrics and writes them to
metrics.json. Writes the detections to detections.json (COCO result rows with the category ids of
the source data). Both files are in --out. With --sides there is one pair of files per side."""


def add_arguments(parser):
    """Adds the arguments of the command."""
    add_subject(parser)
    parser.add_argument(
        "--metric",
        default="coco",
        choices=("coco", "voc"),
        help="COCO's metric or Pascal VOC's metric (default: %(default)s)",
    )
    parser.add_argument(
        "--sides", type=_sides, help="evaluate at each of these sides, e.g. 608,416,320 (YOLOv3)"
    )
    parser.add_argument(
        "--out",
        help="folder of the two json files; default: the folder of the checkpoint, or "
        "runs/ROW for a row",
    )


def add_subject(parser):
    """Adds the arguments that select a detector and a data set to measure it on."""
    add_model(parser)
    parser.add_argument("--data", help="a converted data set; default: that of the run")
    parser.add_argument(
        "--split", default="val", help="which part of --data (default: %(default)s)"
    )
    parser.add_argument(
        "--batch", type=int, default=1, help="images per call (default: %(default)s)"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes of settings of the recipe, e.g. data.short_side=640",
    )


def subject(flags) -> tuple[tuple, Path, Path]:
    """What the arguments of `add_subject` select.

    Returns:
        The first arguments of `kdet.load`; the folder of the run or of the row; the data set.

    Raises:
        ConfigError: --weights with a checkpoint.
        CheckpointError: there is no checkpoint, or it is damaged.
        DataError: no data set is given, and the run does not have one either.
    """
    from kdet import models
    from kdet.errors import ConfigError, DataError
    from kdet.models.loading import checkpoint_of, data_of

    row = flags.model in models.names()
    path = Path("runs", flags.model, "released") if row else checkpoint_of(flags.model)
    if not row and flags.weights != "released":
        raise ConfigError(f"{path}: is a checkpoint; --weights is only for rows of the zoo")
    data = Path(flags.data) if flags.data else path.parent / "data"
    if not flags.data and not data.is_dir():
        data = None if row else data_of(path)
    if data is None:
        raise DataError(f"{path}: this run has no synthetic data set; pass a data set with --data")
    return (flags.model, flags.weights) if row else (path,), path.parent, data


def run(flags):
    """Evaluates, prints the table and writes both files."""
    from kdet import models
    from kdet.data.records import Records
    from kdet.evaluate.run import evaluate, format_table
    from kdet.files import write_json

    which, folder, data = subject(flags)
    out = Path(flags.out) if flags.out else folder
    records = Records.open(data, flags.split)
    detector = models.load(*which, overrides=flags.overrides)
    out.mkdir(parents=True, exist_ok=True)
    for side in flags.sides or (None,):
        suffix = "" if side is None else f"_{side}"
        metrics = evaluate(
            detector,
            records,
            detector.data if side is None else at_side(detector.data, side),
            batch=flags.batch,
            metric=flags.metric,
            out=out / f"detections{suffix}.json",
        )
        write_json(out / f"metrics{suffix}.json", metrics)
        if side is not None:
            print(f"\nat {side} x {side}")
        print(format_table(metrics))


def at_side(data, side: int):
    """`data` with images resized to `side` x `side`. YOLOv3 weights work for many sides.

    Raises:
        ConfigError: images are not stretched, or the side is not a positive multiple of 32.
    """
    from kdet.errors import ConfigError

    if data.resize != "stretch" or side < 32 or side % 32:
        raise ConfigError(
            f"--sides takes multiples of 32, for rows whose images are stretched; got {side}, "
            f"data.resize is {data.resize!r}"
        )
    return replace(data, short_side=side, long_side=side)


def _sides(text):
    return tuple(int(side) for side in text.split(","))
