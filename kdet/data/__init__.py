"""Data: from annotations and images to TFRecord shards, and from shards to static-shape batches.

schema          the content of a record, an example and a batch
convert         COCO, VOC and YOLO annotations and images -> shards; makes the synthetic data set
records         reads records from shards
places, remote_records, read_ahead    the same for data sets at URLs
decode          decodes a record to an example
batch_plan      selects the images of every batch
batches         makes batches from examples
transforms, augment    change one example
"""

from kdet.lazy import lazy_names

_PLACES = {
    "Records": "kdet.data.records",
    "cached_records": "kdet.data.convert.any",
    "convert_coco": "kdet.data.convert.coco",
    "convert_voc": "kdet.data.convert.voc",
    "convert_yolo": "kdet.data.convert.yolo",
    "describe": "kdet.data.convert.describe",
    "eval_batches": "kdet.data.batches",
    "image_batch": "kdet.data.batches",
    "make_synthetic": "kdet.data.convert.synthetic",
    "prepare": "kdet.data.batches",
    "read_any": "kdet.data.convert.any",
    "train_batches": "kdet.data.batches",
}
__all__ = sorted(_PLACES)
__getattr__, __dir__ = lazy_names("kdet.data", _PLACES)
