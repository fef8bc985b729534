"""The description of a family of detectors, which the rest of kdet uses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from kdet.config import ModelConfig
from kdet.weights.paddle import names


def _unchanged(value):
    return value


class ClassAxis(NamedTuple):
    """The layout of the classes in the last axis of a variable.

    The axis has g groups. A group has `fixed` entries that belong to no class (background,
    objectness, box) and then `unit` entries per class. The length is g * (fixed + K * unit).
    """

    fixed: int
    unit: int = 1


@dataclass(frozen=True)
class Family:
    """One family of detectors; each package in `kdet/models` defines one.

    Attributes:
        config: the subclass of `kdet.config.ModelConfig` that its recipes use.
        network: config -> keras.Model with all weights. The input is the image or a dict of entries
            of the batch, and the output is a nested dict.
        detections: config -> layer (outputs, image, resized_size, original_size) -> detections, a
            `kdet.layers.base.Decoder`.
        targets: (config, training batch of `kdet.data.schema`) -> (nested dict of tensors that the
            outputs should match, {name: () float32 normalizer}). Training sums the normalizers of
            all replicas and passes the sums to `losses`. The network is not used.
        losses: (config, outputs, targets, normalizers) -> {name: () float32}; the total loss is
            their plain sum. The ground truth is not used.
        class_axes: config -> {pattern of variable paths: ClassAxis}, for the variables whose last
            axis depends on the number of classes.
        head_layers: pattern of the paths of variables that an ImageNet backbone does not have.
        training_model: (config, network) -> the model to train, which shares the network's layers.
            None means the network itself.
        reference_names: (pattern, replacement) pairs from a variable's path to the beginning of
            its name in the reference's checkpoints; see `kdet.weights.paddle.names`.
        rename_stored: {name: tensor} of a stored checkpoint -> the same with the usual names.
    """

    config: type[ModelConfig]
    network: Callable
    detections: Callable
    targets: Callable
    losses: Callable
    class_axes: Callable[[ModelConfig], dict[str, ClassAxis]]
    head_layers: re.Pattern
    training_model: Callable | None = None
    reference_names: tuple[tuple[str, str], ...] = ()
    rename_stored: Callable[[dict], dict] = _unchanged

    def class_axis(self, config, path: str) -> ClassAxis | None:
        """The layout of the classes in the variable at `path`; None if it has no class axis."""
        for pattern, axis in self.class_axes(config).items():
            if re.search(pattern, path):
                return axis
        return None

    def reference_name(self, path: str) -> str:
        """The name of the variable at `path` in the reference's checkpoints."""
        return names.reference_name(path, self.reference_names)


def network_inputs(network, batch):
    """The inputs of a network from a batch: the image, or a dict with the names of its inputs.

    Args:
        network: functional Keras model.
        batch: dict of tensors with at least these inputs.
    """
    if isinstance(network.input, dict):
        return {name: batch[name] for name in network.input}
    return batch["image"]
