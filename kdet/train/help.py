"""The help text of the training command."""

from __future__ import annotations

import textwrap

HEAD = """usage: kdet train {name} [--data DIR] [--out DIR] [flags] [key=value ...]
   or: python recipes/{name}.py, with the same arguments

Trains this row on the data set in --data, see `kdet convert`. Without --data it trains on
built-in synthetic images, which takes minutes and shows that everything works.

flags:
"""
TAIL = """
key=value changes a setting of the recipe, e.g. schedule.batch=4 or data.flip=0. The page
docs/api.md lists all settings under kdet.config.

example: kdet train {name} --data records --out runs/mine --epochs 30
"""
_INDENT, _WIDTH = 24, 100
_KINDS = {"string": "PATH", "int": "N"}


def help_text(name: str, flags) -> str:
    """The text of --help.

    Args:
        name: of the recipe.
        flags: list of `absl.flags.Flag`, in the order in which they are shown.
    """
    return HEAD.format(name=name) + "".join(map(_entry, flags)) + TAIL.format(name=name)


def _entry(flag):
    """The lines of one flag: its name and values, what it does, and its default."""
    values = "|".join(getattr(flag.parser, "enum_values", ()))
    text = flag.help.removeprefix(f"<{values}>: ")  # absl writes the values there
    if flag.default is not None and flag.default is not False:
        text += f" (default: {flag.default})"
    either = flag.boolean and flag.default is None  # neither is the default
    start = (
        f"  --{'[no]' * either}{flag.name} {values or _KINDS.get(flag.flag_type(), '')}".rstrip()
    )
    lines = textwrap.wrap(text, _WIDTH - _INDENT)
    new_line = "\n" + " " * _INDENT
    start = start + new_line if len(start) > _INDENT - 2 else start.ljust(_INDENT)
    return start + new_line.join(lines) + "\n"
