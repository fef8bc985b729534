"""The `kdet` command. Every command is a module of this package with two functions:
`add_arguments(parser)` and `run(flags)`, which returns the exit code or None for 0."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys

from kdet.errors import KdetError
from kdet.startup import import_tensorflow

COMMANDS = {
    "detect": "draw what a detector finds on images",
    "train": "train a row of the zoo",
    "evaluate": "measure a detector on a converted data set",
    "export": "write a SavedModel: bytes or pixels in, boxes out",
    "convert": "convert COCO, VOC or YOLO annotations to TFRecord shards",
    "describe": "count the objects of a converted data set, and draw some images",
    "zoo": "list the rows of the zoo, or show one",
}
HELP = """usage: kdet COMMAND ...

{commands}

kdet COMMAND --help explains a command.

examples:
  kdet detect yolov3_darknet street.jpg                published weights, downloaded once
  kdet detect yolov3_darknet photos/ --weights w.tar   your own copy of the weights
  kdet detect runs/demo street.jpg --threshold 0.5     the weights of a training run
  kdet convert coco --annotations a.json --images photos --out records/train
  kdet train retinanet_r50_fpn_1x --data records --out runs/mine
  kdet evaluate runs/mine --data records
  kdet export runs/mine saved_model
  kdet zoo yolov3_darknet

KDET_HOME is the folder of downloaded files (default ~/.cache/kdet). KDET_MIRROR is an address or a
folder to download from instead of the published addresses. KDET_FONT is a font file for class
names in scripts that no font of the machine covers."""


def main(arguments=None) -> int:
    """Runs the `kdet` command.

    Returns:
        The exit code: 0 done; 1 after a one-line error; 2 unknown command; 130 stopped with Ctrl+C.
        `kdet train` has more, see `kdet.train.main`.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = (f"  {name:<10} {text}" for name, text in COMMANDS.items())
        print(HELP.format(commands="\n".join(lines)))
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        similar = difflib.get_close_matches(name, COMMANDS, 1)
        commands = f"the commands are {', '.join(COMMANDS)}"
        hint = f"did you mean {similar[0]!r}?" if similar else commands
        print(f"kdet: there is no command {name!r}; {hint}", file=sys.stderr)
        return 2
    command = importlib.import_module(f"kdet.cli.{name}")
    if name == "train":  # it has the flags of the recipes and its own parser
        return command.main(rest)
    return call(command, name, rest)


def call(command, name: str, arguments) -> int:
    """Runs one command module with its arguments and returns the exit code."""
    text = COMMANDS[name]
    parser = argparse.ArgumentParser(
        prog=f"kdet {name}",
        description=command.DESCRIPTION or f"{text[0].upper()}{text[1:]}.",
    )
    command.add_arguments(parser)
    flags = parser.parse_intermixed_args(arguments)
    # after the arguments are checked, because the import takes seconds
    import_tensorflow()
    try:
        return command.run(flags) or 0
    except (KdetError, OSError) as error:
        print(f"kdet {name}: {error}", file=sys.stderr)
        return 1


def add_model(parser) -> None:
    """Adds the arguments that select a detector: "model" and "weights" of `kdet.load`."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a row of the zoo (see kdet zoo), a run folder or a checkpoint",
    )
    parser.add_argument(
        "--weights",
        default="released",
        help="only for a row: released (default, the published weights), a kdet checkpoint, or a "
        "folder, an archive or a .pdparams file of Paddle",
    )
