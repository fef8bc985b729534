"""Configs as text: `key=value` overrides from the command line, and JSON for checkpoints."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import json
import types
import typing
from dataclasses import replace

from kdet.config import (
    RCNN,
    SSD,
    ConfigError,
    DarkNet,
    Data,
    LabelMap,
    MobileNet,
    Optimizer,
    Recipe,
    ResNet,
    RetinaNet,
    Schedule,
    YOLOv3,
)

STORED = (
    Recipe, RetinaNet, RCNN, YOLOv3, SSD, ResNet, DarkNet, MobileNet, Data, Schedule, Optimizer,
    LabelMap,
)  # fmt: skip


def override(recipe: Recipe, assignments: typing.Iterable[str]) -> Recipe:
    """The recipe with `key=value` changes, e.g. `schedule.batch=4` or `data.flip=0`.

    Raises:
        ConfigError: unknown field (with the nearest name), wrong type, or no `=`.
    """
    wanted = {}
    for said in [assignments] if isinstance(assignments, str) else assignments:
        key, equals, text = said.partition("=")
        if not equals:
            raise ConfigError(f"an override reads key=value, e.g. schedule.batch=4; got {said!r}")
        wanted[tuple(key.strip().split("."))] = text.strip(), said
    return _set(recipe, wanted)


def _set(config, wanted):
    """`config` with the values of `wanted`, {(name, ...): (text, said)}, all set at once.

    One by one, fields that must agree (`Schedule.decay` and `.factors`) could never be changed.
    """
    known = [f.name for f in dataclasses.fields(config)]
    values, groups = {}, {}
    for (name, *rest), (text, said) in wanted.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise ConfigError(
                f"{type(config).__name__} has no field {name!r} (in {said!r}); {hint}"
            )
        is_group = dataclasses.is_dataclass(getattr(config, name))
        if rest and not is_group:
            raise ConfigError(f"{name!r} (in {said!r}) is a plain value and has no fields")
        if is_group and not rest:
            raise ConfigError(f"{name!r} (in {said!r}) is a group; set one of its fields")
        if rest:
            groups.setdefault(name, {})[tuple(rest)] = text, said
        else:
            kind = typing.get_type_hints(type(config))[name]
            values[name] = _convert(_parse(text), kind, said)
    values |= {name: _set(getattr(config, name), group) for name, group in groups.items()}
    return replace(config, **values)


def _parse(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _convert(value, wanted, said):
    """`value` as the type `wanted`; lists become tuples and dicts dataclasses."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if isinstance(wanted, types.UnionType):
        return _convert(value, _pick(value, arguments), said)
    if dataclasses.is_dataclass(wanted) and isinstance(value, dict):
        return _from_dict(wanted, value, said)
    if origin is tuple and isinstance(value, (list, tuple)):
        if arguments[-1] is Ellipsis:
            arguments = arguments[:1] * len(value)
        if len(arguments) == len(value):
            return tuple(_convert(v, a, said) for v, a in zip(value, arguments))
    elif origin is dict and isinstance(value, dict):
        return {k: _convert(v, arguments[1], said) for k, v in value.items()}
    elif wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif wanted is bool and value in ("true", "True", "false", "False"):
        return value in ("true", "True")
    elif isinstance(wanted, type) and isinstance(value, wanted):
        if wanted is not int or not isinstance(value, bool):
            return value
    name = getattr(wanted, "__name__", str(wanted)) if origin is None else str(wanted)
    raise ConfigError(f"{said!r} needs a value of type {name}; got {value!r}")


def _pick(value, options):
    named = value.get("type") if isinstance(value, dict) else None
    return next((o for o in options if o.__name__ == named), options[0])


def to_dict(config) -> dict:
    """A JSON-ready dict of a config; nested dataclasses carry their class name as `type`."""
    if dataclasses.is_dataclass(config):
        fields = {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
        return {"type": type(config).__name__, **fields}
    if isinstance(config, (tuple, list)):
        return [to_dict(item) for item in config]
    return dict(config) if isinstance(config, dict) else config


def from_dict(stored: dict):
    """The config that `to_dict` stored. Raises ConfigError for unknown types or fields."""
    kinds = {kind.__name__: kind for kind in STORED}
    if not isinstance(stored, dict) or stored.get("type") not in kinds:
        raise ConfigError(f"expected a stored config with a type of {', '.join(kinds)}")
    return _from_dict(kinds[stored["type"]], stored, stored["type"])


def _from_dict(kind, stored, said):
    values = {k: v for k, v in stored.items() if k != "type"}
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{kind.__name__} has no field {unknown[0]!r} (in {said!r})")
    return kind(**{k: _convert(v, hints[k], f"{said}.{k}") for k, v in values.items()})


def to_json(config) -> str:
    """`to_dict` as JSON text."""
    return json.dumps(to_dict(config), indent=1)
