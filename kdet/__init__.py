"""kdet: classic object detectors in Keras 3, from images to boxes.

`kdet.load(name)` gives a `Detector` with the methods detect, predict, evaluate, export and save.
Importing kdet is cheap; TensorFlow is imported when a model or a data set is made.
"""

from kdet.lazy import lazy_names, submodules

__version__ = "0.1.0"

_MODULES = (
    *("analyse", "backbones", "config", "data", "draw", "errors", "evaluate", "layers", "masks"),
    *("models", "ops", "serving", "train", "weights", "zoo"),
)
_PLACES = {
    **submodules("kdet", _MODULES),
    "Detections": "kdet.detections",
    "Detector": "kdet.models",
    "KdetError": "kdet.errors",
    "LabelMap": "kdet.config",
    "build": "kdet.models",
    "export": "kdet.serving",
    "load": "kdet.models",
    "names": "kdet.config.rows",
    "recipe": "kdet.config.rows",
}
__all__ = sorted(["__version__", *_PLACES])
__getattr__, __dir__ = lazy_names("kdet", _PLACES)
