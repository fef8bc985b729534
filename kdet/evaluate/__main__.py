"""kdet evaluate MODEL [--data DIR]: the metrics of a run's best checkpoint, or of a row."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from kdet.quiet import import_tensorflow


def main(arguments=None) -> int:
    """Evaluates a checkpoint on a converted data set and prints the table.

    Writes `detections.json`, COCO result rows in the source's category ids, and `metrics.json`
    beside the checkpoint (or into --out); with --sides one pair per side. Returns the exit code:
    0, or 1 after a one-line error.
    """
    flags = _parser().parse_intermixed_args(arguments)
    import_tensorflow()
    from kdet import models
    from kdet.config import ConfigError
    from kdet.data.errors import DataError
    from kdet.data.records import Records
    from kdet.evaluate.coco import write_results
    from kdet.evaluate.run import evaluate, format_table
    from kdet.evaluate.truth import EvaluationError
    from kdet.models.zoo import checkpoint_of
    from kdet.weights.archive import ArchiveError

    try:
        row = flags.model in models.names()
        path = Path("runs", flags.model, "released") if row else checkpoint_of(flags.model)
        if not row and flags.weights != "released":
            raise ConfigError(f"{path}: has weights of its own; --weights is for rows of the zoo")
        out = Path(flags.out) if flags.out else path.parent
        data = Path(flags.data) if flags.data else path.parent / "data"
        if not flags.data and not data.is_dir():
            raise DataError(f"{path}: the run has no data set of its own; name one with --data")
        records = Records.open(data, flags.split)
        which = (flags.model, flags.weights) if row else (path,)
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
            write_results(out / f"metrics{suffix}.json", metrics)
            if side is not None:
                print(f"\nat {side} x {side}")
            print(format_table(metrics))
    except (ArchiveError, ConfigError, DataError, EvaluationError, OSError) as error:
        print(f"kdet evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def at_side(data, side: int):
    """`data` with images stretched to `side` x `side`; one set of YOLOv3 weights serves them all.

    Raises:
        ConfigError: images are not stretched, or the side is no positive multiple of 32.
    """
    from kdet.config import ConfigError

    if data.resize != "stretch" or side < 32 or side % 32:
        raise ConfigError(
            f"--sides takes multiples of 32, for rows whose images are stretched; got {side}, "
            f"data.resize is {data.resize!r}"
        )
    return replace(data, short_side=side, long_side=side)


def _sides(text):
    return tuple(int(side) for side in text.split(","))


ABOUT = """Measures a detector on a converted data set: prints the table, and writes metrics.json
and detections.json (COCO result rows in the source's category ids) beside the checkpoint or into
--out; with --sides one pair per side."""


def add_model(parser):
    """The arguments that say which detector: "model" and "weights" of `kdet.models.load`."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a row of the zoo (see kdet zoo), a run folder or a checkpoint",
    )
    parser.add_argument(
        "--weights",
        default="released",
        help="of a row: a folder, archive or .pdparams of Paddle, a kdet checkpoint, "
        "or released, the published ones (default)",
    )


def _parser():
    parser = argparse.ArgumentParser(prog="kdet evaluate", description=ABOUT)
    add_model(parser)
    parser.add_argument("--data", help="a converted data set; by default the run's own drawn one")
    parser.add_argument(
        "--split", default="val", help="which part of --data (default: %(default)s)"
    )
    parser.add_argument(
        "--metric",
        default="coco",
        choices=("coco", "voc"),
        help="whose rules (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", type=int, default=1, help="images per call (default: %(default)s)"
    )
    parser.add_argument(
        "--sides", type=_sides, help="evaluate at each of these sides, e.g. 608,416,320 (YOLOv3)"
    )
    parser.add_argument("--out", help="where the two json files go; by default beside the run")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes of the recipe, e.g. data.short_side=640",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
