"""Pure tensor functions in `keras.ops`, without weights or state, for every backend."""

import importlib

__all__ = ["anchors", "boxes", "gather", "matching", "nms", "polygons", "roi_align"]


def __getattr__(name):
    if name in __all__:
        return importlib.import_module(f"kdet.ops.{name}")
    raise AttributeError(f"module 'kdet.ops' has no attribute {name!r}")


def __dir__():
    return __all__
