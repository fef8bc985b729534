"""What a detector gets wrong, as numbers, figures and one HTML page.

run             detects, measures, draws and writes the report
match, measure  detections and objects that belong together, and the numbers that follow
figures, worst  charts, and pictures of the images with the most errors
page            the HTML page
"""

import importlib

_LAZY = {"analyse": "run"}
__all__ = sorted(_LAZY)


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(f"kdet.analyse.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'kdet.analyse' has no attribute {name!r}")


def __dir__():
    return __all__
