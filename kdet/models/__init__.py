"""2 of 6: image -> raw outputs -> detections. `build(config, ...)`, `load(name)`, `names()`."""

from kdet.models.detector import Detector, build
from kdet.models.zoo import load, names, recipe, save_paddle

__all__ = ["Detector", "build", "load", "names", "recipe", "save_paddle"]
