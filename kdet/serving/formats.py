"""The formats of exported detectors and the engines that run them. No engine is imported here."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import NamedTuple

from kdet.config import Optimizer, Recipe, Schedule
from kdet.config.text import from_dict
from kdet.errors import ConfigError
from kdet.weights.sources import Source


class Format(NamedTuple):
    """A format of exported files.

    Attributes:
        suffix: of the files; "" for a folder.
        engines: names of the engines that run it, the usual one first.
    """

    suffix: str
    engines: tuple[str, ...]


class Engine(NamedTuple):
    """A program that runs exported detectors.

    Attributes:
        package: the Python package that is imported.
        extra: the extra of kdet that installs it; "" if kdet needs it anyway.
        runner: its class in `kdet.serving.runners`.
    """

    package: str
    extra: str
    runner: str


FORMATS = {
    "saved_model": Format("", ("tensorflow",)),
    "litert": Format(".tflite", ("litert",)),
    "onnx": Format(".onnx", ("onnxruntime", "openvino")),
    "openvino": Format(".xml", ("openvino",)),
}
ENGINES = {
    "tensorflow": Engine("tensorflow", "", "SavedModel"),
    "litert": Engine("ai_edge_litert", "litert", "LiteRT"),
    "onnxruntime": Engine("onnxruntime", "onnx", "ONNXRuntime"),
    "openvino": Engine("openvino", "openvino", "OpenVINO"),
}
# what writing and checking a format needs: packages, and the extra of kdet that installs each one
PACKAGES = {
    "saved_model": (),
    "litert": (("ai_edge_litert", "litert"),),
    "onnx": (("tf2onnx", "onnx"), ("onnxruntime", "onnx")),
    "openvino": (("tf2onnx", "openvino"), ("openvino", "openvino")),
}
QUANTIZER = (("ai_edge_quantizer", "litert"),)
FIELDS = {"format", "inputs", "outputs", "nms", "model", "data", "labels"}  # that kdet reads
DESCRIPTION = "detector.json"  # of a SavedModel, in assets/; other files have theirs beside them


def format_for(path, name=None) -> str:
    """The name of a format, by its name or by the suffix of a file.

    Raises:
        ConfigError: there is no such format, or the suffix is that of another one.
    """
    suffix = Path(path).suffix.lower()
    by_suffix = next((n for n, f in FORMATS.items() if f.suffix and f.suffix == suffix), None)
    if name is None:
        return by_suffix or "saved_model"
    if name not in FORMATS:
        raise ConfigError(f"the formats are {', '.join(FORMATS)}; got {name!r}")
    wanted = FORMATS[name].suffix
    if wanted and suffix != wanted:
        raise ConfigError(f"{path}: expected a name that ends in {wanted} for the format {name}")
    if not wanted and by_suffix:
        raise ConfigError(f"{path}: expected the name of a folder for the format {name}")
    return name


def description_path(path) -> Path:
    """Where the description of an exported detector is."""
    path = Path(path)
    if path.suffix.lower() in {f.suffix for f in FORMATS.values() if f.suffix}:
        return path.with_name(f"{path.name}.json")
    return path / "assets" / DESCRIPTION


def is_export(path) -> bool:
    """Whether a path is an exported detector with its description."""
    return description_path(path).is_file()


def read_description(path) -> dict:
    """The description of an exported detector: "format", "name", "model", "data", "labels", ...

    Raises:
        ConfigError: it is missing or damaged.
    """
    place = description_path(path)
    try:
        stored = json.loads(place.read_text("utf-8"))
    except OSError:
        raise ConfigError(f"{path}: its description {place} is missing") from None
    except ValueError:
        raise ConfigError(f"{place}: expected JSON that kdet wrote") from None
    if not isinstance(stored, dict) or not stored.keys() >= FIELDS:
        raise ConfigError(f"{place}: expected JSON with {', '.join(sorted(FIELDS))}")
    if stored["format"] not in FORMATS:
        raise ConfigError(f"{place}: the formats are {', '.join(FORMATS)}; got {stored['format']}")
    return stored


def source_of(path, engine=None) -> Source:
    """An exported detector as the commands of kdet take it.

    Raises:
        ConfigError: the description is damaged, or the engine cannot be used.
    """
    stored = read_description(path)
    try:
        model, data, labels = (from_dict(stored[name]) for name in ("model", "data", "labels"))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{description_path(path)}: is damaged: {error}") from None
    engine = engine_for(path, stored, engine)
    # an exported detector is not trained, so it has no schedule
    recipe = Recipe(Path(path).name, model, data, Schedule(1, (), 0.0), Optimizer())
    return Source(recipe, labels, "export", Path(path), engine=engine)


def engine_for(path, stored: dict, name=None) -> str:
    """The name of the engine that runs an exported detector; `name` is a wish or None.

    Raises:
        ConfigError: the engine cannot run this format, or its package is not installed.
    """
    able = FORMATS[stored["format"]].engines
    if name is not None and name not in able:
        raise ConfigError(f"{path}: runs on {' or '.join(able)}; got {name!r}")
    name = name or able[0]
    needed(ENGINES[name].package, ENGINES[name].extra)
    return name


def needed(package: str, extra: str) -> None:
    """Raises ConfigError where a package is not installed; says how to install it."""
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise ConfigError(
            f'this needs the package {package}; install it with pip install "kdet[{extra}]"'
        )
