"""The backend-free core gives equal numbers on TensorFlow and JAX."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import sys
import keras, numpy as np
from kdet import losses
from kdet.config import R50, SSD, Data, MobileNet, RetinaNet, YOLOv3
from kdet.models import build

MODELS = {
    "retinanet": RetinaNet(R50, num_classes=3),
    "yolov3": YOLOv3(MobileNet(0.25), num_classes=3),
    "ssd": SSD(MobileNet(0.25), num_classes=3),
}
detector = build(MODELS[sys.argv[2]], Data(short_side=128, long_side=128, pad_to=128))
rng = np.random.default_rng(0)
for variable in detector.network.variables:
    value = rng.normal(size=variable.shape) * (2 / max(1, np.prod(variable.shape[:-1]))) ** 0.5
    positive = variable.name in ("scale", "gamma", "moving_variance")
    variable.assign(1 + 0.1 * value if positive else value)
size = np.array([[128, 96], [128, 128]], "float32")
batch = {
    "image": keras.ops.convert_to_tensor(rng.normal(size=(2, 128, 128, 3)).astype("float32")),
    "resized_size": size,
    "original_size": size * 2,
    "boxes": keras.ops.convert_to_tensor(
        np.array([[[10, 10, 60, 70], [30, 5, 120, 90]], [[0] * 4] * 2], "float32")
    ),
    "labels": np.array([[1, 2], [0, 0]], "int32"),
    "valid": np.array([[True, True], [False, False]]),
}
truth, counts = losses.targets(detector.config, batch)
raw = detector.raw(batch)
terms = losses.losses(detector.config, raw, truth, counts)
flat = {k: v if isinstance(v, dict) else {"": v} for k, v in raw.items()}
found = {f"{k}_{level}": v for k, levels in flat.items() for level, v in levels.items()}
found |= {f"loss_{k}": v for k, v in terms.items()}
found |= {f"found_{k}": v for k, v in detector(batch).items()}
found = {name: np.array(value) for name, value in found.items()}
np.savez(sys.argv[1], backend=keras.backend.backend(), **found)
"""


@pytest.mark.parametrize("family", ["retinanet", "yolov3", "ssd"])
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_jax_equals_tensorflow(tmp_path, family):
    found = {}
    for backend in ("tensorflow", "jax"):
        path = tmp_path / f"{backend}.npz"
        environment = {**os.environ, "KERAS_BACKEND": backend}
        command = [sys.executable, "-c", PROGRAM, path, family]
        subprocess.run(command, env=environment, check=True)
        found[backend] = np.load(path)
        assert found[backend]["backend"] == backend
    for name in set(found["jax"].files) - {"backend"}:
        ours, theirs = found["tensorflow"][name], found["jax"][name]
        scale = max(1e-6, np.abs(ours.astype("float64")).max())
        if name in ("found_labels", "found_valid"):
            assert (ours == theirs).mean() > 0.98, name
        elif name == "found_boxes":  # rows of nearly equal scores may change places
            assert np.median(np.abs(ours - theirs)) < 1e-2
        else:
            assert np.abs(ours - theirs).max() / scale < 1e-4, name
