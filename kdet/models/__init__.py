"""The families of detectors, and loading detectors of the zoo by name.

Importing this package registers every layer of kdet with Keras, so that `keras.models.load_model`
can read files that contain these layers.
"""

from kdet.config.rows import names, recipe
from kdet.models.detector import Detector, build
from kdet.models.loading import load, save_paddle

__all__ = ["Detector", "build", "load", "names", "recipe", "save_paddle"]
