"""The reference's tensors into a network's variables: completely, or as the start of training."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from kdet.weights.archive import ArchiveError, some
from kdet.weights.names import fold, from_reference, reference_name, to_reference
from kdet.weights.paddle import Part, arrays

# variables whose shape follows the number of classes
CLASS_LAYERS = re.compile(
    r"^(retina_head/class_output|ssd_class_\d|yolo_output\.\d\.conv"
    r"|box_head_\d/(class|box)_output|mask_head/output)/"
)
# what stands on a backbone; an ImageNet checkpoint has none of it
HEADS = re.compile(
    r"^(fpn|retina_head|rpn_head|box_head|mask_head|ssd_|conv7_|yolo_(block|transition|output))"
)
# what training leaves in a checkpoint beside the weights: counters, rates, fetched losses, slots
LEFTOVERS = re.compile(
    r"^(@LR_DECAY_COUNTER@|learning_rate(_\w+)?|(.+\.)?tmp_\d+)$"
    r"|_(velocity|momentum|mean_square|mean_grad)_0$"
)
# six maps, a convolution for boxes and one for classes each
AUTOMATIC, HEAD_NUMBERS = re.compile(r"^conv2d_(\d+)\.([wb]_0)$"), range(22, 34)
VARIANCE = ("_variance", ".var")
NORM = ("scale", "offset", "mean", "variance")


@dataclass(frozen=True)
class Report:
    """What became of variables and tensors.

    Attributes:
        loaded: paths of the variables that were assigned.
        fresh: paths of those that kept their initial values.
        ignored: names of the stored tensors that no variable took.
    """

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    ignored: tuple[str, ...]

    def __str__(self):
        said = f"{len(self.loaded)} variables loaded"
        if self.fresh:
            said += f"; {len(self.fresh)} newly initialised: {', '.join(layers(self))}"
        if self.ignored:
            said += f"; {len(self.ignored)} tensors ignored: {some(self.ignored)}"
        return said


def layers(report: Report) -> list[str]:
    """The fresh variables, by layer where a layer and its norm are fresh: ["fpn", "head/bias"]."""
    partly = {_layer(path) for path in report.loaded}
    names = (path if _layer(path) in partly else _layer(path) for path in report.fresh)
    return list(dict.fromkeys(names))


def _layer(path):
    return re.sub(r"(_bn|\.bn|\.conv)$", "", path.split("/")[0])


def fill(network, parts: dict[str, Part], where, new_classes=False) -> Report:
    """Gives every variable of a network its tensor, and finds a use for every tensor.

    Norms of given statistics are folded where the network holds them folded (`names.fold`).
    Counters, rates, losses and optimizer slots that training leaves in a checkpoint are ignored.

    Args:
        network: keras.Model with variables that `names.reference_name` knows.
        parts: from `paddle.find`.
        where: of the checkpoint, for messages.
        new_classes: leave the layers that depend on the number of classes as they are, where it
            differs.
    Raises:
        ArchiveError: one line that lists what is missing, left over or misshapen; nothing was
            assigned.
    """
    plan = _Plan(network, parts, new_classes)
    unused = [name for name in plan.unused if not LEFTOVERS.search(name)]
    _refuse(where, {"missing": plan.missing, "left over": unused, "wrong shape": plan.misshapen})
    return plan.run()


def start(network, parts: dict[str, Part], where) -> Report:
    """Starts training from what a checkpoint has: at least all of the backbone.

    Layers on top of the backbone that it lacks, or that are of another number of classes, keep
    their initial values; tensors without a variable are ignored.

    Raises:
        ArchiveError: a part of the backbone is missing, or a shape differs; nothing was assigned.
    """
    plan = _Plan(network, parts, new_classes=True)
    missing = [name for name in plan.missing if not HEADS.match(plan.path_of(name))]
    _refuse(where, {"missing": missing, "wrong shape": plan.misshapen})
    return plan.run()


def possible_names(network) -> list[list[str]]:
    """What a checkpoint of a network may hold: its norms folded, or with their statistics."""
    names = [reference_name(v.path) for v in network.variables]
    norms = {n.removesuffix("_scale") for n in names if n.endswith("_scale")}
    more = [f"{norm}_{kind}" for norm in sorted(norms) for kind in NORM[2:]]
    return [names, sorted({*names, *more})]


def _refuse(where, problems):
    said = "; ".join(f"{what}: {some(names)}" for what, names in problems.items() if names)
    if said:
        raise ArchiveError(f"{where}: does not fit the network; {said}")


class _Plan:
    """Which variable takes which tensors; nothing is read before `run`."""

    def __init__(self, network, parts, new_classes):
        self.parts = _with_usual_head_names(parts)
        self.variables = {reference_name(v.path): v for v in network.variables}
        self.fresh, self.missing, self.misshapen, used = [], [], [], set()
        for name, variable in self.variables.items():
            needed = self.needed(name)
            absent = [n for n in needed if n not in self.parts]
            wrong = [n for n in needed if n not in absent and not self._fits(n, name)]
            if new_classes and wrong and CLASS_LAYERS.match(variable.path):
                self.fresh.append(name)
            elif wrong:
                self.misshapen += [self._said(n, name) for n in wrong]
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

    def run(self) -> Report:
        """Reads and assigns, the large tensors one after the other."""
        wanted = {
            name: self.needed(name)
            for name in self.variables
            if name not in self.fresh and all(n in self.parts for n in self.needed(name))
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
        return Report(
            tuple(self.variables[name].path for name in wanted),
            tuple(v.path for name, v in self.variables.items() if name not in wanted),
            tuple(self.unused),
        )

    def _shape(self, name, variable):
        return to_reference(np.broadcast_to(np.int8(0), variable.shape), name).shape

    def _fits(self, name, wanted):
        return self.parts[name].shape == self._shape(wanted, self.variables[wanted])

    def _said(self, name, wanted):
        shape = self._shape(wanted, self.variables[wanted])
        return f"{name} {self.parts[name].shape} instead of {shape}"


def _check_values(part, array):
    where = f"{part.path}: {part.name}"
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ArchiveError(f"{where}: expected finite numbers of a floating type")
    if part.name.endswith(VARIANCE) and (array < 0).any():
        raise ArchiveError(f"{where}: a variance is below 0: {array.min():g}")
    if array.itemsize > 4 and np.abs(array).max(initial=0) > np.finfo("float32").max:
        raise ArchiveError(f"{where}: expected numbers that float32 can hold")


def _with_usual_head_names(parts):
    """SSD's head has automatic names: twelve other numbers mean the usual ones, in order."""
    found = {name: match for name in parts if (match := AUTOMATIC.match(name))}
    numbers = sorted({int(match[1]) for match in found.values()})
    if len(numbers) != len(HEAD_NUMBERS) or numbers == list(HEAD_NUMBERS):
        return parts
    usual = dict(zip(numbers, HEAD_NUMBERS))
    return {
        f"conv2d_{usual[int(found[name][1])]}.{found[name][2]}" if name in found else name: part
        for name, part in parts.items()
    }
