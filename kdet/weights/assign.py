"""Stored weights into the variables of a network: all of them, or the start of training."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from kdet.errors import CheckpointError
from kdet.weights.npz import some
from kdet.weights.paddle.checkpoint import Part, arrays
from kdet.weights.paddle.names import fold, from_reference, to_reference

# what training leaves in a checkpoint beside the weights: counters, rates, fetched losses, slots
LEFTOVERS = re.compile(
    r"^(@LR_DECAY_COUNTER@|learning_rate(_\w+)?|(.+\.)?tmp_\d+)$"
    r"|_(velocity|momentum|mean_square|mean_grad)_0$"
)
VARIANCE = ("_variance", ".var")
NORM = ("scale", "offset", "mean", "variance")


@dataclass(frozen=True)
class LoadReport:
    """What happened to the variables of a network and to the stored tensors.

    Attributes:
        loaded: paths of the variables that were assigned, at least in part.
        initialized: paths of those that kept their initial values.
        unused: names of the stored tensors that no variable took.
        matched: names of the classes whose rows were taken over, if the classes differ.
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
    """The initialised variables, or their layer where all of it is: ["fpn", "head/bias"]."""
    partly = {_layer(path) for path in report.loaded}
    names = (path if _layer(path) in partly else _layer(path) for path in report.initialized)
    return list(dict.fromkeys(names))


def _layer(path):
    return re.sub(r"(_bn|\.bn|\.conv)$", "", path.split("/")[0])


def load_strict(network, family, config, parts: dict[str, Part], where, new_classes=False):
    """Gives every variable of a network its tensor of the reference, and finds a use for each.

    Batch-norm statistics are folded for frozen layers (`names.fold`). Counters, rates, losses and
    optimizer slots that training leaves in a checkpoint are ignored.

    Args:
        network: keras.Model.
        family: `kdet.models.family.Family` of the network, with its names.
        config: of the network.
        parts: from `paddle.find`.
        where: the checkpoint, for messages.
        new_classes: keep the initial values of layers that depend on the number of classes, if
            that differs.
    Returns:
        LoadReport.
    Raises:
        CheckpointError: one line that lists what is missing, left over or misshapen; nothing was
            assigned.
    """
    plan = _Plan(network, family, config, parts, new_classes)
    unused = [name for name in plan.unused if not LEFTOVERS.search(name)]
    _refuse(where, {"missing": plan.missing, "left over": unused, "wrong shape": plan.misshapen})
    return plan.run()


def load_partial(network, family, config, parts: dict[str, Part], where) -> LoadReport:
    """Starts training from what a checkpoint of the reference has: at least all of the backbone.

    Layers on top of the backbone that it lacks, or that are of another number of classes, keep
    their initial values; tensors without a variable are ignored. See `load_strict`.

    Raises:
        CheckpointError: a part of the backbone is missing, or a shape differs; nothing was
            assigned.
    """
    plan = _Plan(network, family, config, parts, new_classes=True)
    missing = [name for name in plan.missing if not family.head_layers.match(plan.path_of(name))]
    _refuse(where, {"missing": missing, "wrong shape": plan.misshapen})
    return plan.run()


def possible_names(network, family) -> list[list[str]]:
    """What a checkpoint of a network may hold: its norms folded, or with their statistics."""
    names = [family.reference_name(v.path) for v in network.variables]
    norms = {n.removesuffix("_scale") for n in names if n.endswith("_scale")}
    more = [f"{norm}_{kind}" for norm in sorted(norms) for kind in NORM[2:]]
    return [names, sorted({*names, *more})]


def _refuse(where, problems):
    lists = "; ".join(f"{what}: {some(names)}" for what, names in problems.items() if names)
    if lists:
        raise CheckpointError(f"{where}: does not fit the network; {lists}")


class _Plan:
    """Which variable takes which tensors; nothing is read before `run`."""

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
        """Names of the tensors that make the variable of this name: one, or those of a norm."""
        norm, _, kind = name.rpartition("_")
        folded = kind in NORM[:2] and f"{norm}_mean" not in self.variables
        if folded and {f"{norm}_mean", f"{norm}_variance"} & set(self.parts):
            return [f"{norm}_{each}" for each in NORM]
        return [name]

    def path_of(self, name):
        """The path of the variable that wants a tensor."""
        variable = self.variables.get(name)
        if variable is None:  # statistics that would be folded
            variable = self.variables[f"{name.rpartition('_')[0]}_scale"]
        return variable.path

    def run(self) -> LoadReport:
        """Reads and assigns, the large tensors one after the other."""
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
