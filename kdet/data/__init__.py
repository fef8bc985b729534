"""1 of 6: images and annotations -> TFRecord shards -> static-shape batches."""

import importlib

_HOME = {
    "DataError": "errors",
    "Records": "records",
    "convert_coco": "coco",
    "convert_voc": "voc",
    "eval_batches": "pipelines",
    "image_batch": "pipelines",
    "make_drawn": "drawn",
    "prepare": "pipelines",
    "train_batches": "pipelines",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"kdet.data.{_HOME[name]}"), name)
    raise AttributeError(f"module 'kdet.data' has no attribute {name!r}")


def __dir__():
    return __all__
