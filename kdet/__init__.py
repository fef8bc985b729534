"""kdet: classic object detectors in Keras 3, from images to boxes.

`kdet.load(name)` gives a `Detector` with the methods detect, predict, evaluate, export and save.
Importing kdet is cheap; TensorFlow is imported when a model or a data set is made.
"""

import importlib

__version__ = "0.1.0"

# name -> module that it is imported from on first use; None: the name is that module
_LAZY = {
    **dict.fromkeys(("analyse", "backbones", "config", "data", "draw", "errors", "evaluate")),
    **dict.fromkeys(("layers", "masks", "models", "ops", "serving", "train", "weights", "zoo")),
    "Detections": "kdet.detections",
    "Detector": "kdet.models",
    "KdetError": "kdet.errors",
    "LabelMap": "kdet.config",
    "build": "kdet.models",
    "export": "kdet.serving",
    "load": "kdet.models",
    "names": "kdet.config.rows",
    "recipe": "kdet.config.rows",
}
__all__ = sorted(["__version__", *_LAZY])


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module 'kdet' has no attribute {name!r}")
    if _LAZY[name] is None:
        return importlib.import_module(f"kdet.{name}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__():
    return __all__
