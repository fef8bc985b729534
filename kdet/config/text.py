"""Configs as text: `key=value` overrides of the command line, and JSON in checkpoints."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import json
import types
import typing
from dataclasses import replace

from kdet.config import (
    DarkNet,
    Data,
    LabelMap,
    MobileNet,
    ModelConfig,
    Optimizer,
    Recipe,
    ResNet,
    Schedule,
)
from kdet.errors import ConfigError


def override(recipe: Recipe, assignments: typing.Iterable[str]) -> Recipe:
    """The recipe with `key=value` overrides, e.g. `schedule.batch=4` or `data.flip=0`.

    All overrides are validated together, so fields that must agree can change in one call.

    Raises:
        ConfigError: an unknown field, a wrong type, or no `=`. For an unknown field the message
            has the most similar name, or the new name of a renamed field.
    """
    wanted = {}
    for assignment in [assignments] if isinstance(assignments, str) else assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(
                f"a setting must be key=value, e.g. schedule.batch=4; got {assignment!r}"
            )
        wanted[tuple(key.strip().split("."))] = text.strip(), assignment
    return _set(recipe, wanted)


def _set(config, wanted):
    """`config` with all values of `wanted`, {(name, ...): (text, assignment)}."""
    known = [f.name for f in dataclasses.fields(config)]
    values, groups = {}, {}
    for (name, *rest), (text, assignment) in wanted.items():
        if name not in known:
            raise ConfigError(
                f"{type(config).__name__} has no field {name!r} (in {assignment!r}); "
                f"{_hint(type(config), name, known)}"
            )
        is_group = dataclasses.is_dataclass(getattr(config, name))
        if rest and not is_group:
            raise ConfigError(f"{name!r} (in {assignment!r}) is a plain value and has no fields")
        if is_group and not rest:
            raise ConfigError(f"{name!r} (in {assignment!r}) is a group; set one of its fields")
        if rest:
            groups.setdefault(name, {})[tuple(rest)] = text, assignment
        else:
            kind = typing.get_type_hints(type(config))[name]
            values[name] = _convert(_parse(text), kind, assignment)
    values |= {name: _set(getattr(config, name), group) for name, group in groups.items()}
    # One `replace` for all: set one after the other, milestones and their factors never agree.
    return replace(config, **values)


def _hint(kind, name, known):
    """What the user should write instead of an unknown field."""
    renamed = getattr(kind, "RENAMED", {}).get(name)
    if renamed:
        return f"it is called {renamed if isinstance(renamed, str) else ' and '.join(renamed)} now"
    similar = difflib.get_close_matches(name, known, 1)
    return f"did you mean {similar[0]!r}?" if similar else f"it has {', '.join(known)}"


def _parse(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _convert(value, wanted, assignment):
    """`value` as the type `wanted`. Lists become tuples, and dicts become dataclasses."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if isinstance(wanted, types.UnionType):
        return _convert(value, _pick(value, arguments), assignment)
    if wanted is ModelConfig and isinstance(value, dict):
        return _from_dict(_pick(value, ModelConfig.__subclasses__()), value, assignment)
    if dataclasses.is_dataclass(wanted) and isinstance(value, dict):
        return _from_dict(wanted, value, assignment)
    if origin is tuple and isinstance(value, (list, tuple)):
        if arguments[-1] is Ellipsis:
            arguments = arguments[:1] * len(value)
        if len(arguments) == len(value):
            return tuple(_convert(v, a, assignment) for v, a in zip(value, arguments))
    elif origin is dict and isinstance(value, dict):
        return {k: _convert(v, arguments[1], assignment) for k, v in value.items()}
    elif wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif wanted is bool and value in ("true", "True", "false", "False"):
        return value in ("true", "True")
    elif isinstance(wanted, type) and isinstance(value, wanted):
        # In Python a bool is an int, but `schedule.batch=True` is a mistake.
        if wanted is not int or not isinstance(value, bool):
            return value
    name = getattr(wanted, "__name__", str(wanted)) if origin is None else str(wanted)
    raise ConfigError(f"{assignment!r} needs a value of type {name}; got {value!r}")


def _pick(value, options):
    kind = value.get("type") if isinstance(value, dict) else None
    return next((o for o in options if o.__name__ == kind), options[0])


def to_dict(config) -> dict:
    """A dict of a config for JSON. Every dataclass in it has its class name as "type"."""
    if dataclasses.is_dataclass(config):
        fields = {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
        return {"type": type(config).__name__, **fields}
    if isinstance(config, (tuple, list)):
        return [to_dict(item) for item in config]
    return dict(config) if isinstance(config, dict) else config


def from_dict(stored: dict):
    """The config that `to_dict` stored. Field names of earlier versions are accepted.

    Raises:
        ConfigError: an unknown type or an unknown field.
    """
    parts = (Recipe, ResNet, DarkNet, MobileNet, Data, Schedule, Optimizer, LabelMap)
    kinds = {kind.__name__: kind for kind in (*parts, *ModelConfig.__subclasses__())}
    if not isinstance(stored, dict) or stored.get("type") not in kinds:
        raise ConfigError(f'a stored config needs a "type", one of {", ".join(kinds)}')
    return _from_dict(kinds[stored["type"]], stored, stored["type"])


def _from_dict(kind, stored, where):
    values = _with_new_names(kind, {k: v for k, v in stored.items() if k != "type"})
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{kind.__name__} has no field {unknown[0]!r} (in {where!r})")
    return kind(**{k: _convert(v, hints[k], f"{where}.{k}") for k, v in values.items()})


def _with_new_names(kind, values):
    renamed = {}
    for name, value in values.items():
        new = getattr(kind, "RENAMED", {}).get(name, name)
        renamed |= {new: value} if isinstance(new, str) else dict(zip(new, value))
    return renamed


def differences(config, other, prefix: str = "") -> dict:
    """The fields of `other` with other values than in `config`, {"data.flip": 0.5, ...}."""
    if type(config) is not type(other) or not dataclasses.is_dataclass(config):
        return {} if config == other else {prefix: other}
    found = {}
    for field in dataclasses.fields(config):
        name = f"{prefix}.{field.name}" if prefix else field.name
        found |= differences(getattr(config, field.name), getattr(other, field.name), name)
    return found


def to_json(config) -> str:
    """`to_dict` as JSON text."""
    return json.dumps(to_dict(config), indent=1)
