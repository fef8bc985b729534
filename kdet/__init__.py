"""kdet: classic object detectors in Keras 3, from images to boxes.

Flow: `kdet.data` (shards -> batches) -> `kdet.models` (image -> raw outputs -> detections)
-> `kdet.losses` -> `kdet.train` -> `kdet.evaluate` -> `kdet.export`.
Importing kdet is cheap; TensorFlow is loaded when a model or a data set is made.
"""

import importlib

from kdet._register import register_layers

__version__ = "0.1.0"
_LAZY = ("backbones", "config", "data", "draw", "evaluate", "export", "layers", "losses", "models")
_LAZY += ("ops", "predict", "train", "weights")
__all__ = ["__version__", *_LAZY]


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"kdet.{name}")
    raise AttributeError(f"module 'kdet' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)


register_layers()
