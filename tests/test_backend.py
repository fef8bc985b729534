"""The backend-free core gives equal numbers on TensorFlow and JAX."""

import os
import subprocess
import sys

import numpy as np

PROGRAM = """
import sys
import keras, numpy as np
from kdet.models.families import family_of
from kdet.backbones import resnet
from kdet.config import R50, RCNN, SSD, Data, MobileNet, RetinaNet, YOLOv3
from kdet.models import build
from kdet.models.family import network_inputs

MODELS = {
    "retinanet": RetinaNet(R50, num_classes=3),
    "yolov3": YOLOv3(MobileNet(0.25), num_classes=3),
    "ssd": SSD(MobileNet(0.25), num_classes=3),
    "rcnn": RCNN(
        R50, mask=True, num_classes=3, width=32, head_width=32, anchor_scale=0.5, roi_batch_size=16,
        rpn_pre_nms_top_n_train=100, rpn_post_nms_top_n_train=30, rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_test=20, max_detections=10,
    ),
}
resnet.BLOCKS[50] = (1, 2, 1, 1)  # the other blocks are copies
rng = np.random.default_rng(0)
size = np.array([[128, 96], [128, 128]], "float32")
batch = {
    "image": rng.normal(size=(2, 128, 128, 3)).astype("float32"),
    "resized_size": size,
    "original_size": size * 2,
    "boxes": np.array([[[10, 10, 60, 70], [30, 5, 120, 90]], [[0] * 4] * 2], "float32"),
    "labels": np.array([[1, 2], [0, 0]], "int32"),
    "valid": np.array([[True, True], [False, False]]),
    "sample_seed": np.array([4, 9], "int32"),
    "mask_edges": np.zeros((2, 2, 3, 4), "float32"),
    "mask_parts": np.array([[[0] * 3] * 2, [[-1] * 3] * 2], "int32"),
}
corners = np.array([[[20, 20], [120, 20], [120, 140]], [[60, 10], [240, 10], [150, 180]]])
batch["mask_edges"][0] = np.concatenate([corners, np.roll(corners, -1, axis=1)], axis=2)
batch = {name: keras.ops.convert_to_tensor(value) for name, value in batch.items()}


def flat(value, name):
    if not isinstance(value, dict):
        return {name: np.array(value)}
    return {k: v for key, part in value.items() for k, v in flat(part, f"{name}_{key}").items()}


def numbers_of(model):
    # raw outputs, losses and detections with random weights
    detector = build(model, Data(short_side=128, long_side=128, pad_to=128))
    for variable in detector.network.variables:
        value = rng.normal(size=variable.shape) * (2 / max(1, np.prod(variable.shape[:-1]))) ** 0.5
        positive = variable.name in ("scale", "gamma", "moving_variance")
        variable.assign(1 + 0.1 * value if positive else value)
    network = detector.training_model()

    def compute(batch):
        truth, counts = family_of(detector.config).targets(detector.config, batch)
        raw = network(network_inputs(network, batch), training=False)
        terms = family_of(detector.config).losses(detector.config, raw, truth, counts)
        return raw, terms, detector(batch)

    if keras.backend.backend() == "jax":
        import jax

        compute = jax.jit(compute)  # operation by operation it would take twice as long
    raw, terms, detections = compute(batch)
    return flat(raw, "raw") | flat(terms, "loss") | flat(detections, "found")


found = {}
for family, model in MODELS.items():
    found |= {f"{family} {name}": value for name, value in numbers_of(model).items()}
np.savez(sys.argv[1], backend=keras.backend.backend(), **found)
"""


def test_jax_equals_tensorflow(tmp_path):
    found = {}
    for backend in ("tensorflow", "jax"):
        path = tmp_path / f"{backend}.npz"
        environment = {**os.environ, "KERAS_BACKEND": backend}
        subprocess.run([sys.executable, "-c", PROGRAM, path], env=environment, check=True)
        found[backend] = np.load(path)
        assert found[backend]["backend"] == backend
    names = set(found["jax"].files) - {"backend"}
    assert {name.split()[0] for name in names} == {"retinanet", "yolov3", "ssd", "rcnn"}
    for name in names:
        compare(*name.split(), found["tensorflow"][name], found["jax"][name])


def compare(family, name, ours, theirs):
    if name.startswith("raw_mask"):  # TensorFlow without XLA leaves out unused slots
        assert 1 <= ours.shape[1] <= theirs.shape[1]
        theirs = theirs[:, : ours.shape[1]]
    scale = max(1e-6, np.abs(ours.astype("float64")).max())
    if name in ("found_labels", "found_valid"):
        assert (ours == theirs).mean() > 0.98, (family, name)
    elif name in ("found_boxes", "found_masks"):  # equal scores may change places
        assert np.median(np.abs(ours - theirs)) < 1e-2, (family, name)
    else:
        limit = 1e-3 if family == "rcnn" else 1e-4  # proposals pass rounding on
        assert np.abs(ours - theirs).max() / scale < limit, (family, name)
