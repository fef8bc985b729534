"""kdet detect | evaluate | export | zoo."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kdet.quiet import import_tensorflow


def main(arguments=None) -> int:
    """The `kdet` command. Returns the exit code: 0, or 1 after a one-line error."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["evaluate"]:
        from kdet.evaluate.__main__ import main as evaluate

        return evaluate(arguments[1:])
    flags = _parser().parse_args(arguments)
    import_tensorflow()
    from kdet.config import ConfigError
    from kdet.data.errors import DataError
    from kdet.weights.archive import ArchiveError

    try:
        flags.run(flags)
    except (ArchiveError, ConfigError, DataError, OSError) as error:
        print(f"kdet {flags.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="kdet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    detect = commands.add_parser("detect", help="draw what a checkpoint finds on images")
    detect.add_argument("weights", help="a run folder or a checkpoint")
    detect.add_argument("images", nargs="+", help="image files or folders of them")
    detect.add_argument("--out", default="detections", help="folder for pictures and rows")
    detect.add_argument("--threshold", type=float, default=0.3, help="least score drawn")
    detect.set_defaults(run=_detect)

    export = commands.add_parser("export", help="write a SavedModel")
    export.add_argument("weights", help="a run folder or a checkpoint")
    export.add_argument("out", help="folder of the SavedModel")
    export.set_defaults(run=_export)

    zoo = commands.add_parser("zoo", help="list the rows, or show one")
    zoo.add_argument("name", nargs="?", help="a row: its numbers, sizes, weights and commands")
    zoo.add_argument("--markdown", action="store_true", help="as the table of the README")
    zoo.add_argument("--cards", action="store_true", help="as docs/zoo.md")
    zoo.set_defaults(run=_zoo)

    commands.add_parser("evaluate", help="metrics of a run; see kdet evaluate --help")
    return parser


def _detect(flags):
    from tqdm import tqdm

    from kdet import models
    from kdet.evaluate.coco import write_results
    from kdet.predict import listed

    detector = models.load(Path(flags.weights))
    out = Path(flags.out)
    out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for path in tqdm([p for given in flags.images for p in listed(given)], unit="img"):
        found = detector.detect(path)[0]
        found.draw(flags.threshold).save(out / f"{Path(path).stem}.png")
        rows[Path(path).name] = [
            {"name": found.names[label], "score": float(score), "box": box.tolist()}
            for box, score, label in zip(found.boxes, found.scores, found.labels)
        ]
    write_results(out / "detections.json", rows)
    print(f"{len(rows)} pictures and detections.json in {out}")


def _export(flags):
    from kdet import models
    from kdet.export import export

    print(export(models.load(Path(flags.weights)), flags.out))


def _zoo(flags):
    from kdet import cards, models

    if flags.name:
        print(cards.text(models.recipe(flags.name)))
        return
    if flags.markdown or flags.cards:
        print(zoo_table() if flags.markdown else cards.page(), end="\n" if flags.markdown else "")
        return
    for name in models.names():
        reference = models.recipe(name).reference
        print(name.ljust(36), ", ".join(f"{k} {v}" for k, v in reference.items()))


def zoo_table() -> str:
    """The zoo as Markdown: the reference's published numbers, and ours where measured."""
    from kdet import models

    lines = ["| recipe | reference | ours |", "|---|---|---|"]
    for name in models.names():
        reference = models.recipe(name).reference
        said = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in reference.items())
        lines.append(f"| [`{name}`](recipes/{name}.py) | {said} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
