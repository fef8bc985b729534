"""kdet convert coco|voc: annotations and images -> TFRecord shards."""

from __future__ import annotations

DESCRIPTION = """Converts annotations and images to TFRecord shards. Every image is decoded
once, and every box is checked. What is wrong is left out and listed in OUT/report.json. What was
repaired or is worth knowing is counted there. A data set without an object to train on is an error.
A stopped conversion continues when the same command is given again."""


def add_arguments(parser):
    """The command's arguments."""
    parser.add_argument("kind", choices=("coco", "voc"), help="form of the annotations")
    coco = parser.add_argument_group("coco")
    coco.add_argument("--annotations", metavar="JSON", help="COCO instances file")
    coco.add_argument("--images", metavar="DIR", help="folder of the images")
    voc = parser.add_argument_group("voc")
    voc.add_argument("--devkit", metavar="DIR", help="folder with JPEGImages/ and Annotations/")
    voc.add_argument("--list", metavar="TXT", help="image paths or 'image xml' pairs, one per line")
    voc.add_argument("--labels", metavar="TXT", help="class names, one per line; default: found")
    both = parser.add_argument_group("both")
    both.add_argument("--out", metavar="DIR", required=True, help="folder of the shards")
    both.add_argument("--shards", type=int, help="number of shard files; default: 64 MiB each")
    both.add_argument("--workers", type=int, help="processes; default: one per CPU")
    both.add_argument("--strict", action="store_true", help="fail if anything would be left out")
    both.add_argument(
        "--allow-empty", action="store_true", help="also write a data set without annotations"
    )


def run(flags):
    """Converts, then prints what was written and what was left out."""
    from kdet.data.convert.coco import convert_coco
    from kdet.data.convert.voc import convert_voc
    from kdet.data.convert.write import summary
    from kdet.errors import ConfigError

    needed = ("annotations", "images") if flags.kind == "coco" else ("devkit", "list")
    missing = [f"--{name}" for name in needed if getattr(flags, name) is None]
    if missing:
        raise ConfigError(f"convert {flags.kind} needs {' and '.join(missing)}")
    names = ("shards", "workers", "strict", "allow_empty")
    settings = {name: getattr(flags, name) for name in names}
    if flags.kind == "coco":
        convert_coco(flags.annotations, flags.images, flags.out, **settings)
    else:
        convert_voc(flags.devkit, flags.list, flags.out, flags.labels, **settings)
    print(summary(flags.out))
