"""Predictions and ground truth -> COCO and VOC metrics.

run             predicts, and compares predictions with annotations
coco, voc       the metrics
truth           reads annotations from records, and checks that results belong to them
"""

import importlib

_LAZY = {"evaluate": "run", "evaluate_coco": "coco", "evaluate_voc": "voc", "format_table": "run"}
__all__ = sorted(_LAZY)


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(f"kdet.evaluate.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'kdet.evaluate' has no attribute {name!r}")


def __dir__():
    return __all__
