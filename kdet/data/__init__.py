"""Annotations and images -> TFRecord shards -> static-shape batches.

schema          what a record, an example and a batch hold
convert         COCO and VOC annotations, images -> shards; the synthetic data set
records         shards -> record bytes; decode: record bytes -> example
batches         examples -> batches; batch_plan: which images make up which batch
transforms, augment    changes of one example
"""

import importlib

_LAZY = {
    "Records": "records",
    "convert_coco": "convert.coco",
    "convert_voc": "convert.voc",
    "describe": "convert.describe",
    "eval_batches": "batches",
    "image_batch": "batches",
    "make_synthetic": "convert.synthetic",
    "prepare": "batches",
    "train_batches": "batches",
}
__all__ = sorted(_LAZY)


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(f"kdet.data.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'kdet.data' has no attribute {name!r}")


def __dir__():
    return __all__
