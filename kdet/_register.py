"""Registers kdet's layers with Keras as soon as Keras is there, and not before.

`keras.models.load_model` only finds classes whose modules were imported, and `import kdet` must not
import Keras by itself: that takes seconds.
"""

import importlib
import importlib.abc
import importlib.util
import sys


def register_layers():
    """Imports `kdet.layers` now where Keras is imported, else right after it is."""
    if "keras" in sys.modules:
        importlib.import_module("kdet.layers")
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for the loader of Keras once."""

    def find_spec(self, name, path, target=None):
        """The spec of Keras with this object as its loader; None for every other module."""
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        """As the loader of Keras."""
        return self.loader.create_module(spec)

    def exec_module(self, module):
        """As the loader of Keras, then our layers."""
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        importlib.import_module("kdet.layers")
