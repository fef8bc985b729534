"""Backbones as functional Keras networks, (B, H, W, 3) -> {"C2": ..., "C5": ...}, strides 2^level.

Each module has a function with the name of the module, e.g. `kdet.backbones.resnet.resnet`.
"""

import importlib

__all__ = ["darknet", "mobilenet", "resnet"]


def __getattr__(name):
    if name in __all__:
        return importlib.import_module(f"kdet.backbones.{name}")
    raise AttributeError(f"module 'kdet.backbones' has no attribute {name!r}")


def __dir__():
    return __all__
