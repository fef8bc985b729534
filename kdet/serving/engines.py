"""Exported detectors as detectors: the same methods, run by another engine."""

from __future__ import annotations

import numpy as np

from kdet.config.text import from_dict
from kdet.errors import ConfigError
from kdet.predict.predictor import Predictor
from kdet.serving import runners
from kdet.serving.formats import ENGINES, engine_for, read_description


class EngineDetector(Predictor):
    """A detector in a file, which an engine runs. It detects and evaluates as `kdet.Detector` does.

    All images are resized to the one size of the file. They are given to the engine one by one.

    Args:
        path: the exported detector.
        engine: the name of the engine.
        stored: its description.
    Attributes:
        path, engine: as above.
        config, data, labels: see `kdet.predict.predictor.Predictor`. `data` has no normalisation,
            because the file contains it.
        recipe: None.
    """

    recipe = None

    def __init__(self, path, engine: str, stored: dict):
        self.path, self.engine = path, engine
        self.config, self.data, self.labels = (
            from_dict(stored[name]) for name in ("model", "data", "labels")
        )
        self.draws_masks = "masks" in stored["outputs"]
        self._inputs = tuple(stored["inputs"])
        self._run = getattr(runners, ENGINES[engine].runner)(path)

    def __call__(self, inputs):
        """Detections of a prepared batch, as NumPy arrays; see `kdet.Detector`."""
        inputs = {name: np.asarray(inputs[name], np.float32) for name in self._inputs}
        count = len(inputs["image"])
        rows = [self._one({n: v[k : k + 1] for n, v in inputs.items()}) for k in range(count)]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _one(self, inputs):
        found = {name: np.asarray(value) for name, value in self._run(inputs).items()}
        if "num_detections" not in found:  # exported without NMS
            return {**found, "valid": found["scores"] > 0}
        count = found.pop("num_detections")[:, None]
        return {**found, "valid": np.arange(found["scores"].shape[1])[None] < count}


def from_export(path, engine=None) -> EngineDetector:
    """Opens what `kdet.export` wrote.

    Args:
        path: a .tflite, .onnx or .xml file, or the folder of a SavedModel.
        engine: "tensorflow", "litert", "onnxruntime" or "openvino"; None: the usual one.
    Raises:
        ConfigError: the description is missing or damaged, the detector was exported without NMS,
            or the engine cannot run it or is not installed.
    """
    stored = read_description(path)
    if not stored["nms"]:
        raise ConfigError(f"{path}: was exported without NMS, so it gives no detections")
    return EngineDetector(path, engine_for(path, stored, engine), stored)
