"""Data: from annotations and images to TFRecord shards, and from shards to static-shape batches.

schema          the content of a record, an example and a batch
convert         COCO, VOC and YOLO annotations and images -> shards; makes the synthetic data set
records         reads records from shards
decode          decodes a record to an example
batch_plan      selects the images of every batch
batches         makes batches from examples
transforms, augment    change one example
"""

import importlib

_LAZY = {
    "Records": "records",
    "cached_records": "convert.any",
    "convert_coco": "convert.coco",
    "convert_voc": "convert.voc",
    "convert_yolo": "convert.yolo",
    "describe": "convert.describe",
    "eval_batches": "batches",
    "image_batch": "batches",
    "make_synthetic": "convert.synthetic",
    "prepare": "batches",
    "read_any": "convert.any",
    "train_batches": "batches",
}
__all__ = sorted(_LAZY)


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(f"kdet.data.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'kdet.data' has no attribute {name!r}")


def __dir__():
    return __all__
