"""Families of detectors, the rows of the zoo, and loading them.

Importing this package registers every layer of kdet with Keras, so that `keras.models.load_model`
reads files that hold them.
"""

from kdet.models.detector import Detector, build
from kdet.models.loading import load, names, recipe, save_paddle

__all__ = ["Detector", "build", "load", "names", "recipe", "save_paddle"]
