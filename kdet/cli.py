"""Object detectors: find and draw, measure, export, list."""

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


EXAMPLES = """examples:
  kdet detect ssd_mobilenet_v1_voc street.jpg          published weights, fetched once
  kdet detect yolov3_darknet photos/ --weights w.tar   weights at hand
  kdet detect runs/demo street.jpg --threshold 0.5     what a run has learned
  kdet evaluate runs/demo
  kdet export faster_rcnn_r50_fpn_1x saved_model
  kdet zoo yolov3_darknet

KDET_HOME is where fetched files are kept (~/.cache/kdet), KDET_MIRROR where to fetch them from.
"""


def _parser():
    from kdet.evaluate.__main__ import add_model

    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="kdet", description=__doc__, epilog=EXAMPLES, formatter_class=raw
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    detect = commands.add_parser("detect", **_about("draw what a detector finds on images"))
    add_model(detect)
    detect.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders of them")
    detect.add_argument(
        "--out", default="detections", help="folder for pictures and rows (default: %(default)s)"
    )
    detect.add_argument(
        "--threshold", type=float, default=0.3, help="least score drawn (default: %(default)s)"
    )
    detect.set_defaults(run=_detect)

    # takes its arguments itself, see `main`; here for the list of commands
    commands.add_parser("evaluate", help="measure a detector on a converted data set")

    about = _about("write a SavedModel: bytes or pixels in, boxes out")
    export = commands.add_parser("export", **about)
    add_model(export)
    export.add_argument("out", metavar="FOLDER", help="where the SavedModel goes")
    export.set_defaults(run=_export)

    zoo = commands.add_parser("zoo", **_about("list the rows of the zoo, or show one"))
    zoo.add_argument("name", nargs="?", metavar="ROW", help="its numbers, sizes, weights, commands")
    zoo.add_argument("--markdown", action="store_true", help="all rows as the table of the README")
    zoo.add_argument("--cards", action="store_true", help="all rows as docs/zoo.md")
    zoo.set_defaults(run=_zoo)
    return parser


def _about(text):
    """A command's line in the list, and the sentence of its own help."""
    return {"help": text, "description": f"{text[0].upper()}{text[1:]}."}


def _detect(flags):
    from tqdm import tqdm

    from kdet import models
    from kdet.data.errors import DataError
    from kdet.evaluate.coco import write_results
    from kdet.predict import listed

    images = [Path(p) for given in flags.images for p in listed(given)]
    for path in images:  # said before anything is fetched
        if not path.is_file():
            raise DataError(f"{path}: no such image")
    detector = models.load(flags.model, flags.weights)
    out = Path(flags.out)
    out.mkdir(parents=True, exist_ok=True)
    pictures = picture_names(images, out)
    rows = {}
    for path, picture in zip(tqdm(images, unit="img", disable=None), pictures):
        found = detector.detect(path)[0]
        found.draw(flags.threshold).save(picture)
        rows[str(path) if path.name in rows else path.name] = [
            {"name": found.names[label], "score": float(score), "box": box.tolist()}
            for box, score, label in zip(found.boxes, found.scores, found.labels)
        ]
    write_results(out / "detections.json", rows)
    print(f"{len(rows)} pictures and detections.json in {out}")


def picture_names(images, out) -> list[Path]:
    """Where the picture of each image goes: no two in one place, none over an image.

    Args:
        images: paths.
        out: folder.
    Returns:
        `out/STEM.png`, or `out/STEM_2.png`, ... where that is taken.
    """
    taken, names = {Path(image).resolve() for image in images}, []
    for image in images:
        stem, number = Path(image).stem, 1
        name = out / f"{stem}.png"
        while name.resolve() in taken:
            number += 1
            name = out / f"{stem}_{number}.png"
        taken.add(name.resolve())
        names.append(name)
    return names


def _export(flags):
    from kdet import models
    from kdet.export import export

    print(export(models.load(flags.model, flags.weights), flags.out))


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
