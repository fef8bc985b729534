"""The description of a family of detectors, which the rest of kdet uses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from kdet.config import ModelConfig
from kdet.weights.paddle import names


def _unchanged(value, *more):
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
        best_iou: (config, `kdet.models.anchor_fit.Objects`) -> (m,) the largest IoU of each object
            with an anchor. None for a family without anchors.
        fit_anchors: (config, Objects) -> the config with anchors that fit the objects.
        fit_settings: (config, `kdet.data.statistics.Statistics`, `kdet.config.Data`, start) -> the
            config with other settings that fit the data: counts, widths and the first objectness.
        smallest_object: side in pixels of the smallest object that the finest level finds well.
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
    best_iou: Callable | None = None
    fit_anchors: Callable = _unchanged
    fit_settings: Callable = _unchanged
    smallest_object: float = 16

    def class_axis(self, config, path: str) -> ClassAxis | None:
        """The layout of the classes in the variable at `path`; None if it has no class axis."""
        for pattern, axis in self.class_axes(config).items():
            if re.search(pattern, path):
                return axis
        return None

    def is_head_tensor(self, name: str) -> bool:
        """Whether a tensor of the reference's checkpoints belongs to the head of the family."""
        prefixes = (re.sub(r"\\\d", r"\\w+", new) for _, new in self.reference_names)
        return bool(self.head_layers.match(name) or any(re.match(p, name) for p in prefixes))

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
