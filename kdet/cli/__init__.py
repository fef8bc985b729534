"""The `kdet` command. Every command is a module of this package with these names:

DESCRIPTION             the text of --help, or None for the line in `COMMANDS`
EXAMPLE                 optional; a command, for the end of --help
add_arguments(parser)   adds the arguments
check(flags)            optional; checks whatever needs no TensorFlow, and keeps in `flags` what it
                        finds. It returns an exit code to end the command, or None.
run(flags)              does the work with TensorFlow; returns the exit code, or None for 0
TENSORFLOW              optional; False if `run` does not need TensorFlow

`check` runs before TensorFlow is imported, which takes seconds, so mistakes are reported at once.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys

from kdet.errors import KdetError
from kdet.startup import import_tensorflow

COMMANDS = {
    "detect": "draw what a detector finds on images and videos",
    "plan": "show the settings that training would choose for a data set",
    "train": "train a row of the zoo on your data",
    "evaluate": "measure a detector on a converted data set",
    "analyse": "show what a detector gets wrong, as one page with figures",
    "export": "write a detector for TensorFlow, LiteRT, ONNX or OpenVINO",
    "convert": "convert COCO, VOC or YOLO annotations to a data set of kdet",
    "describe": "count the objects of a converted data set, and draw some images",
    "zoo": "list the rows of the zoo, or show one",
}
HELP = """usage: kdet COMMAND ...

{commands}

kdet COMMAND --help explains a command. MODEL stands for a row of the zoo, the folder of a training
run, or a checkpoint. A row is a published detector; `kdet zoo` lists the rows. Its weights are
downloaded at their first use. KDET_HOME is the folder of downloaded files (default ~/.cache/kdet).
KDET_MIRROR is an address or a folder to download from instead of the published addresses.
KDET_FONT is a font file for class names in scripts that no font of the machine covers.
KDET_READ_MB is the memory, in MB, for reading a data set at a URL in advance (default 256).

the most common commands:
  kdet detect yolov3_darknet photos/                           draw the objects on photos
  kdet train yolov3_r34 --data records --out runs/mine         train on data from kdet convert
  kdet evaluate runs/mine                                      measure the trained detector"""


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
        epilog=f"example: {command.EXAMPLE}" if hasattr(command, "EXAMPLE") else None,
    )
    command.add_arguments(parser)
    flags = parser.parse_intermixed_args(arguments)
    try:
        code = _checked(command, flags)
        if code is None and getattr(command, "TENSORFLOW", True):
            import_tensorflow()
        return (command.run(flags) if code is None else code) or 0
    except (KdetError, OSError) as error:
        print(f"kdet {name}: {error}", file=sys.stderr)
        return 1


def _checked(command, flags):
    """Runs the checks that need no TensorFlow. Returns an exit code to end with, or None."""
    if "model" in flags:
        flags.source = _source(flags)
    return command.check(flags) if hasattr(command, "check") else None


def _source(flags):
    """What the arguments of `add_model` select."""
    from kdet.errors import ConfigError
    from kdet.serving.formats import is_export, source_of
    from kdet.weights.sources import find_source

    engine, overrides = getattr(flags, "engine", None), getattr(flags, "overrides", ())
    if is_export(flags.model):
        if overrides:
            raise ConfigError(f"{flags.model}: settings of an exported detector cannot be changed")
        return source_of(flags.model, engine)
    if engine not in (None, "tensorflow"):
        raise ConfigError(
            f"{flags.model}: --engine is for exported detectors; kdet export writes them"
        )
    return find_source(flags.model, flags.weights, overrides)


def add_model(parser, engine: bool = False) -> None:
    """Adds the arguments that select a detector: "model" and "weights" of `kdet.load`.

    With `engine`, there is also one for the engine of an exported detector.

    `call` finds and checks the detector before `check`: `flags.source` is a
    `kdet.weights.sources.Source`.
    """
    if engine:
        from kdet.serving.formats import ENGINES

        parser.add_argument(
            "--engine",
            choices=tuple(ENGINES),
            help="the engine that runs an exported detector (default: that of its format)",
        )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a row of the zoo (kdet zoo lists them), the folder of a training run, a "
        "checkpoint (.npz), or an exported detector",
    )
    parser.add_argument(
        "--weights",
        default="released",
        metavar="PATH",
        help="only for a row: a checkpoint of kdet, or a folder, an archive or a .pdparams file "
        "of Paddle; default: the published weights, downloaded once",
    )


def positive(text: str) -> int:
    """A flag's value as a whole number above 0, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
