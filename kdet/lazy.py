"""Packages whose names are imported on first use, so that importing a package is cheap."""

from __future__ import annotations

import importlib


def lazy_names(package: str, places: dict[str, str]):
    """`__getattr__` and `__dir__` of a package.

    Args:
        package: its name.
        places: the public names, and for each one the module that defines it. A module of the
            package itself is its own place, e.g. {"anchors": "kdet.ops.anchors"}.
    """

    def get(name):
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(places[name])
        return module if places[name] == f"{package}.{name}" else getattr(module, name)

    return get, lambda: sorted(places)


def submodules(package: str, names):
    """The `places` of modules of a package."""
    return {name: f"{package}.{name}" for name in names}
