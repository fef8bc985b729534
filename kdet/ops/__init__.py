"""Pure tensor functions in `keras.ops`, without weights or state, for every backend."""

from kdet.lazy import lazy_names, submodules

__all__ = ["anchors", "boxes", "gather", "matching", "nms", "polygons", "roi_align"]
__getattr__, __dir__ = lazy_names("kdet.ops", submodules("kdet.ops", __all__))
