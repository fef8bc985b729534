"""The rows of the zoo: their names and their recipes."""

from __future__ import annotations

import difflib
import runpy
from pathlib import Path

from kdet.config.recipe import Recipe
from kdet.errors import ConfigError


def names() -> tuple[str, ...]:
    """Names of all recipes, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("[a-z]*.py")))


def recipe(name) -> Recipe:
    """The recipe of a row, e.g. "retinanet_r50_fpn_1x".

    Raises:
        ConfigError: the zoo has no such row; the message suggests a similar name.
    """
    if name not in names():
        similar = difflib.get_close_matches(str(name), names(), 1)
        hint = f"did you mean {similar[0]!r}?" if similar else "`kdet zoo` lists the rows"
        raise ConfigError(f"the zoo has no row {name!r}; {hint}")
    return runpy.run_path(str(_folder() / f"{name}.py"))["recipe"]


def _folder():
    """The folder of the recipes, which is inside an installed kdet but next to it in a checkout."""
    inside = Path(__file__).parents[1] / "recipes"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "recipes"
