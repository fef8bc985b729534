"""Backbones as functional Keras networks, (B, H, W, 3) -> {"C2": ..., "C5": ...}, strides 2^level.

Each module has a function with the name of the module, e.g. `kdet.backbones.resnet.resnet`.
"""

from kdet.lazy import lazy_names, submodules

__all__ = ["darknet", "mobilenet", "resnet"]
__getattr__, __dir__ = lazy_names("kdet.backbones", submodules("kdet.backbones", __all__))
