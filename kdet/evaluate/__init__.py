"""Predictions and ground truth -> COCO and VOC metrics.

run             predicts, and compares predictions with annotations
coco, voc       the metrics
truth           reads annotations from records, and checks that results belong to them
"""

from kdet.lazy import lazy_names

_PLACES = {
    "evaluate": "kdet.evaluate.run",
    "evaluate_coco": "kdet.evaluate.coco",
    "evaluate_voc": "kdet.evaluate.voc",
    "format_table": "kdet.evaluate.run",
}
__all__ = sorted(_PLACES)
__getattr__, __dir__ = lazy_names("kdet.evaluate", _PLACES)
