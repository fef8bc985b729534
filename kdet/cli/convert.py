"""kdet convert coco|voc|yolo: annotations and images -> TFRecord shards."""

from __future__ import annotations

DESCRIPTION = """Converts annotations and images to TFRecord shards. Every image is decoded
once, and every box is checked. What is wrong is left out and listed in OUT/report.json. What was
repaired or is worth knowing is counted there. A data set without an object to train on is an error.
A stopped conversion continues when the same command is given again."""
SETTINGS = ("shards", "workers", "strict", "allow_empty")
CHOICES = ("only", "empty", "split", "split_seed", "group")


def add_arguments(parser):
    """The command's arguments."""
    parser.add_argument("kind", choices=("coco", "voc", "yolo"), help="form of the annotations")
    coco = parser.add_argument_group("coco")
    coco.add_argument("--annotations", metavar="JSON", nargs="+", help="COCO instances files")
    coco.add_argument("--images", metavar="DIR", nargs="+", help="folder of images for each file")
    voc = parser.add_argument_group("voc")
    voc.add_argument(
        "--devkit",
        metavar="DIR",
        nargs="+",
        help="folders with JPEGImages/ and Annotations/, or with images and XML files side by side",
    )
    voc.add_argument(
        "--list",
        metavar="TXT",
        nargs="+",
        help="image paths or 'image xml' pairs, one per line; default: all XML files",
    )
    voc.add_argument("--labels", metavar="TXT", help="class names, one per line; default: found")
    yolo = parser.add_argument_group("yolo")
    yolo.add_argument("--data", metavar="YAML", nargs="+", help="data.yaml files or their folders")
    yolo.add_argument(
        "--set",
        choices=("train", "val", "test"),
        help="convert only this set; default: each set to a folder of its name in OUT",
    )
    every = parser.add_argument_group("all")
    every.add_argument("--out", metavar="DIR", required=True, help="folder of the shards")
    every.add_argument("--shards", type=int, help="number of shard files; default: 64 MiB each")
    every.add_argument("--workers", type=int, help="processes; default: one per CPU")
    every.add_argument("--strict", action="store_true", help="fail if anything would be left out")
    every.add_argument(
        "--allow-empty", action="store_true", help="also write a data set without annotations"
    )
    _add_choices(parser.add_argument_group("classes and parts"))


def _add_choices(group):
    group.add_argument(
        "--rename",
        metavar="OLD=NEW",
        action="append",
        default=[],
        help="rename a class; may be repeated, and two classes with one new name become one",
    )
    group.add_argument("--only", metavar="A,B", help="classes to keep, and the order of the labels")
    group.add_argument(
        "--empty",
        choices=("keep", "drop"),
        default="keep",
        help="what to do with images without objects (default: keep)",
    )
    group.add_argument(
        "--split",
        metavar="SHARE",
        type=float,
        help="write OUT/train with this share of the images, such as 0.8, and OUT/val",
    )
    group.add_argument(
        "--split_seed", type=int, default=0, help="another seed gives another split (default: 0)"
    )
    group.add_argument(
        "--group",
        metavar="REGEX",
        help="for --split: images whose names have the same match, such as ^[^_]+, stay together",
    )


def run(flags):
    """Converts, then prints what was written and what was left out."""
    from pathlib import Path

    from kdet.data.convert.coco import convert_coco
    from kdet.data.convert.voc import convert_voc
    from kdet.data.convert.write import summary
    from kdet.data.convert.yolo import convert_yolo
    from kdet.errors import ConfigError
    from kdet.files import check_out

    check_out(flags.out)
    needed = {"coco": ("annotations", "images"), "voc": ("devkit",), "yolo": ("data",)}
    missing = [f"--{name}" for name in needed[flags.kind] if getattr(flags, name) is None]
    if missing:
        raise ConfigError(f"convert {flags.kind} needs {' and '.join(missing)}")
    settings = {name: getattr(flags, name) for name in (*SETTINGS, *CHOICES)}
    settings["only"] = flags.only and flags.only.split(",")
    settings["rename"] = _renamed(flags.rename)
    if flags.kind == "coco":
        made = convert_coco(flags.annotations, flags.images, flags.out, **settings)
    elif flags.kind == "voc":
        made = convert_voc(flags.devkit, flags.list, flags.out, flags.labels, **settings)
    else:
        made = convert_yolo(flags.data, flags.out, flags.set, **settings)
    for name in [""] if "schema" in made else made:
        print(summary(Path(flags.out) / name))


def _renamed(pairs):
    """{old: new} from texts "old=new"."""
    from kdet.errors import ConfigError

    renamed = {}
    for pair in pairs:
        old, sign, new = (part.strip() for part in pair.partition("="))
        if not (old and sign and new):
            raise ConfigError(f"--rename: expected OLD=NEW, got {pair!r}")
        if renamed.setdefault(old, new) != new:
            raise ConfigError(f"--rename: expected one new name of {old!r}, got another: {new!r}")
    return renamed
