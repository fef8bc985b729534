"""Keras layers, one public class a file; every class saves and loads by name.

Importing this package registers all of them with Keras, which `keras.models.load_model` needs.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
