"""python -m kdet.evaluate RUN [--data DIR]: the metrics of a run's best checkpoint, or of a row."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kdet.quiet import import_tensorflow


def main(arguments=None) -> int:
    """Evaluates a checkpoint on a converted data set and prints the table.

    Writes `detections.json`, COCO result rows in the source's category ids, and `metrics.json`
    beside the checkpoint (or into --out). Returns the exit code: 0, or 1 after a one-line error.
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
        row = flags.run in models.names()
        path = Path("runs", flags.run, "released") if row else checkpoint_of(flags.run)
        out = Path(flags.out) if flags.out else path.parent
        data = Path(flags.data) if flags.data else path.parent / "data"
        if not flags.data and not data.is_dir():
            raise DataError(f"{path}: the run has no data set of its own; name one with --data")
        records = Records.open(data, flags.split)
        which = (flags.run, flags.weights) if row else (path,)
        detector = models.load(*which, overrides=flags.overrides)
        out.mkdir(parents=True, exist_ok=True)
        metrics = evaluate(
            detector,
            records,
            detector.data,
            batch=flags.batch,
            metric=flags.metric,
            out=out / "detections.json",
        )
        write_results(out / "metrics.json", metrics)
    except (ArchiveError, ConfigError, DataError, EvaluationError, OSError) as error:
        print(f"kdet evaluate: {error}", file=sys.stderr)
        return 1
    print(format_table(metrics))
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="python -m kdet.evaluate", description=main.__doc__)
    parser.add_argument("run", help="a run folder, a checkpoint (best.npz, last.npz), or a row")
    parser.add_argument("--weights", default="released", help="of a row: a file, or released")
    parser.add_argument("--data", help="a converted data set; by default the run's own drawn one")
    parser.add_argument("--split", default="val", help="which part of --data (default: val)")
    parser.add_argument("--metric", default="coco", choices=("coco", "voc"))
    parser.add_argument("--batch", type=int, default=1, help="images per call")
    parser.add_argument("--out", help="where the two json files go; by default beside the run")
    parser.add_argument("overrides", nargs="*", help="key=value changes of the recipe")
    return parser


if __name__ == "__main__":
    sys.exit(main())
