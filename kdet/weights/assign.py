"""Assigns weights of the reference to the variables of a network, either all or some of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from kdet.errors import CheckpointError
from kdet.weights.npz import some
from kdet.weights.paddle.checkpoint import Part, arrays
from kdet.weights.paddle.names import fold, from_reference, to_reference

# tensors of a training checkpoint that are not weights: counters, rates, losses, optimizer slots
LEFTOVERS = re.compile(
    r"^(@LR_DECAY_COUNTER@|learning_rate(_\w+)?|(.+\.)?tmp_\d+)$"
    r"|_(velocity|momentum|mean_square|mean_grad)_0$"
)
VARIANCE = ("_variance", ".var")
NORM = ("scale", "offset", "mean", "variance")


@dataclass(frozen=True)
class LoadReport:
    """What was loaded into a network, and what was not.

    Attributes:
        loaded: paths of the variables that were assigned, completely or in part.
        initialized: paths of the variables that kept their initial values.
        unused: names of the stored tensors that were not assigned to any variable.
        matched: names of the classes whose weights were copied. Empty if the classes are equal.
    """

    loaded: tuple[str, ...]
    initialized: tuple[str, ...]
    unused: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()

    def __str__(self):
        text = f"{len(self.loaded)} variables loaded"
        if self.matched:
            text += f"; rows of known classes taken over: {some(self.matched)}"
        if self.initialized:
            layers = ", ".join(initialized_layers(self))
            text += f"; {len(self.initialized)} newly initialised: {layers}"
        if self.unused:
            text += f"; {len(self.unused)} tensors ignored: {some(self.unused)}"
        return text


def initialized_layers(report: LoadReport) -> list[str]:
    """The layers that kept all initial values, and else the variables: ["fpn", "head/bias"]."""
    partly = {_layer(path) for path in report.loaded}
    names = (path if _layer(path) in partly else _layer(path) for path in report.initialized)
    return list(dict.fromkeys(names))


def _layer(path):
    return re.sub(r"(_bn|\.bn|\.conv)$", "", path.split("/")[0])


def load_strict(network, family, config, parts: dict[str, Part], where, new_classes=False):
    """Assigns all tensors of the reference to all variables of a network.

    Loading is strict: a missing or unused tensor is an error. Batch-norm statistics are folded for
    frozen layers (`names.fold`). Counters, learning rates, losses and optimizer slots of training
    are ignored.

    Args:
        network: keras.Model.
        family: the `kdet.models.family.Family` of the network, which has the names.
        config: the config of the network.
        parts: the result of `paddle.find`.
        where: the checkpoint, for messages.
        new_classes: True keeps the initial values of layers that depend on the number of classes,
            if that number differs.
    Returns:
        LoadReport.
    Raises:
        CheckpointError: one line that lists missing, unused and misshapen tensors. Nothing was
            assigned.
    """
    plan = _Plan(network, family, config, parts, new_classes)
    # All names and shapes are checked before the first assignment, so an error changes nothing.
    unused = [name for name in plan.unused if not LEFTOVERS.search(name)]
    _refuse(where, {"missing": plan.missing, "left over": unused, "wrong shape": plan.misshapen})
    return plan.run()


def load_partial(network, family, config, parts: dict[str, Part], where) -> LoadReport:
    """Assigns the tensors that a checkpoint of the reference has, for the start of training.

    The checkpoint must have the complete backbone. Other layers keep their initial values where the
    checkpoint does not have them, or has them for another number of classes. Unused tensors are
    ignored. See `load_strict` for the arguments.

    Raises:
        CheckpointError: a part of the backbone is missing, or a shape differs. Nothing was
            assigned.
    """
    plan = _Plan(network, family, config, parts, new_classes=True)
    missing = [name for name in plan.missing if not family.head_layers.match(plan.path_of(name))]
    _refuse(where, {"missing": missing, "wrong shape": plan.misshapen})
    return plan.run()


def possible_names(network, family) -> list[list[str]]:
    """The two lists of tensor names that a checkpoint may have: norms folded, or with statistics.

    A file of all variables stores no names, so its number of tensors selects one of the lists.
    """
    names = [family.reference_name(v.path) for v in network.variables]
    norms = {n.removesuffix("_scale") for n in names if n.endswith("_scale")}
    more = [f"{norm}_{kind}" for norm in sorted(norms) for kind in NORM[2:]]
    return [names, sorted({*names, *more})]


def _refuse(where, problems):
    lists = "; ".join(f"{what}: {some(names)}" for what, names in problems.items() if names)
    if lists:
        raise CheckpointError(f"{where}: does not fit the network; {lists}")


class _Plan:
    """Which tensors make each variable. Values are read by `run`, and only there."""

    def __init__(self, network, family, config, parts, new_classes):
        self.parts = family.rename_stored(parts)
        self.variables = {family.reference_name(v.path): v for v in network.variables}
        self.initialized, self.missing, self.misshapen, used = [], [], [], set()
        for name, variable in self.variables.items():
            needed = self.needed(name)
            absent = [n for n in needed if n not in self.parts]
            wrong = [n for n in needed if n not in absent and not self._fits(n, name)]
            if new_classes and wrong and family.class_axis(config, variable.path):
                self.initialized.append(name)
            elif wrong:
                self.misshapen += [self._shapes(n, name) for n in wrong]
            elif absent:
                self.missing += absent
            used.update(n for n in needed if n in self.parts)
        self.missing = list(dict.fromkeys(self.missing))
        self.unused = [name for name in self.parts if name not in used]

    def needed(self, name):
        """Names of the tensors for a variable: one name, or the four names of a folded norm."""
        norm, _, kind = name.rpartition("_")
        folded = kind in NORM[:2] and f"{norm}_mean" not in self.variables
        if folded and {f"{norm}_mean", f"{norm}_variance"} & set(self.parts):
            return [f"{norm}_{each}" for each in NORM]
        return [name]

    def path_of(self, name):
        """The path of the variable that needs a tensor."""
        variable = self.variables.get(name)
        if variable is None:  # a mean or variance, which is folded into the scale
            variable = self.variables[f"{name.rpartition('_')[0]}_scale"]
        return variable.path

    def run(self) -> LoadReport:
        """Reads and assigns all tensors. One large tensor at a time is in memory."""
        wanted = {
            name: self.needed(name)
            for name in self.variables
            if name not in self.initialized and all(n in self.parts for n in self.needed(name))
        }
        direct = {names[0] for names in wanted.values() if len(names) == 1}
        norms, names = {}, {n: self.parts[n] for each in wanted.values() for n in each}
        usual = {part.name: name for name, part in names.items()}
        for stored, array in arrays(names.values()):
            name = usual[stored]
            _check_values(names[name], array)
            if name in direct:
                self.variables[name].assign(from_reference(array, name))
            if name.rpartition("_")[2] in NORM:
                norms[name] = array
        # A folded norm needs four tensors, which may be anywhere in the file: they come last.
        for name in sorted(set(wanted) - direct):
            values = (norms[n].astype("float64") for n in wanted[name])
            folded = dict(zip(NORM, fold(*values)))
            self.variables[name].assign(folded[name.rpartition("_")[2]].astype("float32"))
        return LoadReport(
            tuple(self.variables[name].path for name in wanted),
            tuple(v.path for name, v in self.variables.items() if name not in wanted),
            tuple(self.unused),
        )

    def _shape(self, name, variable):
        # `broadcast_to` makes an array of this shape that takes one byte of memory.
        return to_reference(np.broadcast_to(np.int8(0), variable.shape), name).shape

    def _fits(self, name, wanted):
        return self.parts[name].shape == self._shape(wanted, self.variables[wanted])

    def _shapes(self, name, wanted):
        shape = self._shape(wanted, self.variables[wanted])
        return f"{name} {self.parts[name].shape} instead of {shape}"


def _check_values(part, array):
    where = f"{part.path}: {part.name}"
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise CheckpointError(f"{where}: expected finite numbers of a floating type")
    if part.name.endswith(VARIANCE) and (array < 0).any():
        raise CheckpointError(f"{where}: a variance is below 0: {array.min():g}")
    if array.itemsize > 4 and np.abs(array).max(initial=0) > np.finfo("float32").max:
        raise CheckpointError(f"{where}: expected numbers that float32 can hold")
