"""Weights of a kdet checkpoint whose classes are others: rows of known classes are taken over."""

import keras
import numpy as np
import pytest

from kdet.config import RCNN, SSD, RetinaNet, YOLOv3
from kdet.errors import CheckpointError
from kdet.models.families import family_of
from kdet.weights.match_classes import load_named

# a variable of each family whose last axis is 2 groups of (fixed + unit * K) entries
LAYERS = {
    "retina_head/class_output": (RetinaNet(), 0, 1),
    "ssd_class_0": (SSD(), 1, 1),
    "yolo_output.0.conv": (YOLOv3(), 5, 1),
    "box_head_1/class_output": (RCNN(), 1, 1),
    "box_head_1/box_output": (RCNN(), 4, 4),
    "mask_head/output": (RCNN(mask=True), 1, 1),
}


class Variable(keras.Variable):
    """A variable of any path."""

    def __init__(self, value, path):
        super().__init__(value, name=path.split("/")[-1])
        self._path = path


class Network:
    """What `load_named` needs of a network."""

    def __init__(self, layer, size, value):
        self.variables = [
            Variable(np.full((3, size), value, "float32"), f"{layer}/kernel"),
            Variable(np.full(4, value, "float32"), "body/kernel"),
        ]


def load(layer, names, own_names, stored=None):
    config, fixed, unit = LAYERS[layer]
    old, new = (2 * (fixed + unit * len(n)) for n in (names, own_names))
    network = Network(layer, new, -1.0)
    if stored is None:
        stored = {
            f"{layer}/kernel": np.tile(np.arange(old, dtype="float32"), (3, 1)),
            "body/kernel": np.ones(4, "float32"),
        }
    report = load_named(
        network,
        family_of(config),
        config,
        stored,
        names,
        own_names,
        "old.npz",
        lambda paths: ((path, stored[path]) for path in paths),
    )
    return network.variables[0].numpy(), network.variables[1].numpy(), report, (fixed, unit)


@pytest.mark.parametrize("layer", LAYERS)
def test_rows_follow_their_names(layer):
    """cat, dog -> dog, cow, cat: both known classes move, the new one keeps its initial rows."""
    value, body, report, (fixed, unit) = load(layer, ("cat", "dog"), ("dog", "cow", "cat"))
    assert (body == 1).all() and report.matched == ("dog", "cat") and not report.initialized
    for group in range(2):
        start = group * (fixed + 2 * unit)
        cat = [start + fixed + k for k in range(unit)]
        dog = [number + unit for number in cat]
        expected = [*range(start, start + fixed), *dog, *[-1] * unit, *cat]
        here = slice(group * (fixed + 3 * unit), (group + 1) * (fixed + 3 * unit))
        np.testing.assert_array_equal(value[:, here], np.tile(expected, (3, 1)))


@pytest.mark.parametrize("layer", LAYERS)
def test_another_order_of_the_same_names_is_not_taken_as_it_is(layer):
    same, _, report, _ = load(layer, ("cat", "dog"), ("cat", "dog"))
    assert not report.matched and str(report) == "2 variables loaded"
    swapped, _, report, _ = load(layer, ("cat", "dog"), ("dog", "cat"))
    assert (same != swapped).any() and "rows of known classes taken over: dog, cat" in str(report)


@pytest.mark.parametrize(
    ("names", "own"), [(("cat", "dog"), ("cow", "hen")), (("0", "1"), ("0", "1", "2"))]
)
def test_unknown_or_unnamed_classes_start_anew(names, own):
    layer = "ssd_class_0"
    value, body, report, _ = load(layer, names, own)
    assert (value == -1).all() and (body == 1).all()
    assert report.initialized == ("ssd_class_0/kernel",) and "newly initialised" in str(report)


def test_a_cascade_shares_its_boxes_over_the_classes():
    config = RCNN(cascade=True)
    assert family_of(config).class_axis(config, "box_head_2/box_output/bias") is None
    assert family_of(config).class_axis(config, "box_head_2/class_output/bias") is not None


def test_everything_else_must_fit():
    kernel = np.zeros((3, 6), "float32")
    stored = {"ssd_class_0/kernel": kernel, "body/kernel": np.ones(5, "float32")}
    with pytest.raises(CheckpointError, match="wrong shape: body/kernel"):
        load("ssd_class_0", ("cat", "dog"), ("dog",), stored)
    with pytest.raises(CheckpointError, match="missing: body/kernel"):
        load("ssd_class_0", ("cat", "dog"), ("dog",), {"ssd_class_0/kernel": kernel})
    stored = {"ssd_class_0/kernel": kernel[:, :5], "body/kernel": np.ones(4, "float32")}
    with pytest.raises(CheckpointError, match="wrong shape: ssd_class_0/kernel"):
        load("ssd_class_0", ("cat", "dog"), ("dog",), stored)
