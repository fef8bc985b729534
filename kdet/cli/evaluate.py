"""kdet evaluate: the metrics of a row, of a checkpoint, or of a run's best checkpoint."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from kdet.cli import add_model, positive
from kdet.files import check_out

DESCRIPTION = """Measures a detector on a converted data set. Prints the metrics and writes them to
metrics.json. Writes the detections to detections.json (COCO result rows with the category ids of
the source data). Both files are in --out. With --sides there is one pair of files per side."""
EXAMPLE = "kdet evaluate runs/mine"


def add_arguments(parser):
    """Adds the arguments of the command."""
    add_subject(parser)
    parser.add_argument(
        "--metric",
        choices=("coco", "voc"),
        help="COCO's metric or Pascal VOC's metric; default: voc if data.dataset of the recipe is "
        "voc, else coco",
    )
    parser.add_argument(
        "--sides",
        type=_sides,
        metavar="N,N,...",
        help="resize the images to each of these sides, e.g. 608,416,320 (YOLOv3)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of the two json files; default: the folder of the checkpoint, or "
        "runs/ROW for a row",
    )


def add_subject(parser):
    """Adds the arguments that select a detector and a data set to measure it on."""
    add_model(parser, engine=True)
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="a converted data set, or its URL; default: the one of the training run",
    )
    parser.add_argument(
        "--split",
        default="val",
        metavar="NAME",
        help="the folder in --data to use, if there are several (default: %(default)s)",
    )
    parser.add_argument(
        "--batch",
        type=positive,
        default=1,
        metavar="N",
        help="images per call (default: %(default)s)",
    )
    parser.add_argument(
        "--replicas",
        type=positive,
        default=0,
        metavar="N",
        help="devices that share the images; default: every GPU, or one CPU",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes of settings of the recipe, e.g. data.short_side=640",
    )


def check(flags):
    """Finds the metric, the data settings, the records and the folder of the results."""
    data = flags.source.recipe.data
    flags.metric = flags.metric or data.metric
    flags.sizes = {"": data}
    if flags.sides:
        flags.sizes = {f"_{side}": at_side(data, side) for side in flags.sides}
    home = check_subject(flags)
    flags.out = check_out(flags.out or home)


def check_subject(flags) -> Path:
    """Opens the records that the arguments of `add_subject` select, as `flags.records`.

    Returns:
        The folder of the run, or runs/ROW for a row.
    """
    from kdet.data.records import Records
    from kdet.evaluate.run import check_classes

    source = flags.source
    is_run = source.kind == "kdet" and flags.weights == "released"
    data = flags.data or (data_of(source) if is_run else _needed(source))
    flags.records = Records.open(data, flags.split)
    if source.labels:
        check_classes(source.labels.names, flags.records.labels.names)
    return source.path.parent if is_run else Path("runs", source.recipe.name)


def run(flags):
    """Evaluates, prints the table and writes both files."""
    from kdet.evaluate.run import evaluate, format_table
    from kdet.files import write_json
    from kdet.train.shares import load_on_devices

    detector, predict = load_on_devices(flags.source, flags.replicas)
    flags.out.mkdir(parents=True, exist_ok=True)
    for suffix, data in flags.sizes.items():
        rows = flags.out / f"detections{suffix}.json"
        metrics = evaluate(detector, flags.records, data, flags.batch, flags.metric, rows, predict)
        write_json(flags.out / f"metrics{suffix}.json", metrics)
        if suffix:
            print(f"\nat {data.short_side} x {data.long_side}")
        print(format_table(metrics))


def data_of(source):
    """The data set of a training run, from its checkpoint. A note says if it has changed.

    Args:
        source: a `kdet.weights.sources.Source` of a checkpoint of kdet.
    Returns:
        Its folder, see `kdet.data.places.place`.
    Raises:
        DataError: the checkpoint names no data set, or the data set is not there.
    """
    from kdet.data.places import place
    from kdet.data.records import Records
    from kdet.errors import DataError

    stored, own = source.meta.get("data_path"), source.path.parent / "data"
    # a run may have been moved together with the synthetic data in it
    data = place(stored) if stored and (place(stored).is_dir() or not own.is_dir()) else own
    if not data.is_dir():
        told = f"its data set {data} is not there" if stored else "it does not tell its data set"
        raise DataError(f"{source.path}: {told}; pass a data set with --data")
    try:
        found = Records.open(data, "train").fingerprint
    except DataError:  # the evaluation needs another part of the data
        found = None
    if found != (source.meta.get("data") or found):
        print(f"note: the training data in {data} is not that of the run any more", file=sys.stderr)
    return data


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


def _needed(source):
    from kdet.errors import ConfigError

    raise ConfigError(f"{source.recipe.name}: needs a data set to evaluate; pass --data")


def _sides(text):
    if not all(side.isdecimal() for side in text.split(",")):
        raise argparse.ArgumentTypeError(f"expected whole numbers and commas, got {text!r}")
    return tuple(int(side) for side in text.split(","))
