"""Assigns weights of a kdet checkpoint to a network, which may have other classes."""

from __future__ import annotations

from keras.ops import convert_to_numpy

from kdet.errors import ConfigError
from kdet.weights.assign import LoadReport
from kdet.weights.npz import check_complete


def load_named(network, family, config, stored: dict, names, own_names, where, read) -> LoadReport:
    """Assigns the weights of a kdet checkpoint. Classes are matched by their names.

    If checkpoint and network have the same class names in the same order, all weights are loaded.
    Otherwise, in layers that depend on the classes, the weights of common classes are copied, and
    the weights of other classes keep their initial values.

    Args:
        network, family, config: see `load_strict`.
        stored: variable path -> entry with a shape.
        names: class names of the checkpoint, in label order.
        own_names: class names of the network, in label order.
        where: the checkpoint, for messages.
        read: called with a list of paths; yields one (path, array) after the other.
    Raises:
        CheckpointError: a variable or a stored weight is unused, or a shape differs.
    """
    variables = by_path(network)
    # A name that is only a number ("0", "1") says nothing about the class.
    common = tuple(name for name in own_names if name in names and not name.isdecimal())
    axes = {}
    if tuple(names) != tuple(own_names):
        axes = {path: axis for path in variables if (axis := family.class_axis(config, path))}
    wanted = {
        path: _with_classes(tuple(variable.shape), axes.get(path), len(own_names), len(names))
        for path, variable in variables.items()
    }
    check_complete(where, stored, wanted)
    skipped = () if common else tuple(axes)
    for path, value in read([path for path in variables if path not in skipped]):
        if path in axes:
            own = convert_to_numpy(variables[path])
            value = _take_classes(value, own, axes[path], names, own_names, common)
        variables[path].assign(value)
    loaded = tuple(path for path in variables if path not in skipped)
    return LoadReport(loaded, skipped, (), common if axes else ())


def _with_classes(shape, axis, count, other):
    """The shape of a variable for `other` classes, from its shape for `count` classes."""
    if axis is None:
        return shape
    # The last axis is `groups` (anchors) times the entries of no class and those of each class.
    groups = shape[-1] // (axis.fixed + axis.unit * count)
    return (*shape[:-1], groups * (axis.fixed + axis.unit * other))


def _take_classes(stored, own, axis, names, own_names, common):
    """`own` with entries copied from `stored`: those of no class and of the `common` classes."""

    def split(array, count):
        return array.reshape(*array.shape[:-1], -1, axis.fixed + axis.unit * count)

    source, target = split(stored, len(names)), split(own.copy(), len(own_names))
    target[..., : axis.fixed] = source[..., : axis.fixed]
    for name in common:
        here, there = (axis.fixed + axis.unit * list(n).index(name) for n in (own_names, names))
        target[..., here : here + axis.unit] = source[..., there : there + axis.unit]
    return target.reshape(own.shape)


def by_path(network) -> dict:
    """Path -> variable, for all variables of a network. Raises ConfigError for equal paths."""
    variables = {v.path: v for v in network.variables}
    if len(variables) != len(network.variables):
        paths = [v.path for v in network.variables]
        twice = sorted({p for p in paths if paths.count(p) > 1})
        raise ConfigError(f"variables share a path: {', '.join(twice)}")
    return variables
