"""SSD MobileNet-V1 against the original system's numbers at every joint."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import Golden

from kdet.config import SSD
from kdet.models.detector import build
from kdet.models.families import family_of

MAPS = ("conv5_5_sep", "conv6_sep", *(f"conv7_{n}_extra2" for n in (1, 2, 3, 4)))


@pytest.fixture(scope="module")
def row():
    return Golden("ssd_mobilenet_v1_voc")


@pytest.fixture(scope="module")
def detector(row):
    made = build(SSD())
    row.load_weights(made.network, made.config)
    return made


@pytest.fixture(scope="module")
def inputs(row):
    size = row.numbers["test/feed/im_shape"][:, :2]
    return {"image": row.image, "original_size": size, "resized_size": np.array([[300.0, 300.0]])}


def test_maps_heads_and_priors(row, detector):
    layers = [detector.network.get_layer(f"{name}_relu").output for name in MAPS]
    maps, raw = keras.Model(detector.network.input, [layers, detector.network.output])(row.image)
    for number, tensor in enumerate(maps):
        assert row.error(f"test/backbone/{number}", np.transpose(tensor, (0, 3, 1, 2))) < 1e-5
    assert row.error("test/ssd/locs", raw["deltas"]) < 1e-5
    assert row.error("test/ssd/confs", raw["logits"]) < 1e-5
    assert row.error("test/ssd/box", raw["priors"]) < 1e-6


@pytest.mark.parametrize("jit", [False, True])
def test_detections(row, detector, inputs, jit):
    call = tf.function(lambda batch: detector.model(batch, training=False), jit_compile=jit)
    found = call({name: tf.constant(value, tf.float32) for name, value in inputs.items()})
    found = {name: value.numpy() for name, value in found.items()}
    rows = row.numbers["test/out/bbox"].copy()
    rows[:, 0] -= 1
    rows[:, 2:] *= np.tile(inputs["original_size"][:, ::-1], 2)  # stored as fractions
    assert row.matched(found, box=0.05, rows=rows) == 1
    assert (np.diff(found["scores"][0]) <= 0).all()


def test_losses_gradients_and_running_statistics(row, detector):
    numbers, manifest = row.numbers, row.manifest
    network = keras.models.clone_model(detector.network)
    row.load_weights(network, detector.config)
    count = len(numbers["train/feed/gt_box"])
    boxes, labels = np.zeros((1, count + 2, 4)), np.zeros((1, count + 2))
    boxes[0, :count] = numbers["train/feed/gt_box"] * 300
    labels[0, :count] = numbers["train/feed/gt_label"][:, 0] - 1
    batch = {
        "image": tf.constant(row.image),
        "boxes": tf.constant(boxes, tf.float32),
        "labels": tf.constant(labels, tf.int32),
        "valid": tf.range(count + 2)[None] < count,
    }

    @tf.function
    def step(batch):
        truth, counts = family_of(detector.config).targets(detector.config, batch)
        with tf.GradientTape() as tape:
            raw = network(batch["image"], training=True)
            terms = family_of(detector.config).losses(detector.config, raw, truth, counts)
            total = sum(terms.values())
        return raw, truth, total, tape.gradient(total, network.trainable_variables)

    raw, truth, total, gradients = step(batch)
    # a 1 x 1 map has no variance over one image, which amplifies rounding: the original's two
    # versions differ by 0.5% there, and by up to 2.6% in a gradient's norm
    assert row.error("train/ssd/locs", raw["deltas"]) < 1e-2
    assert row.error("train/ssd/confs", raw["logits"]) < 1e-2
    match = numbers["train/op/bipartite_match.0/ColToRowMatchIndices"]
    labels = np.where(match < 0, -1, batch["labels"].numpy()[0][match])
    np.testing.assert_array_equal(truth["labels"], labels)
    assert float(total) == pytest.approx(manifest["train"]["losses"]["loss"], rel=1e-4)
    norms = dict(zip(manifest["grad"]["parameters_with_gradient"], numbers["grad/l2norm"]))
    found = {
        family_of(detector.config).reference_name(v.path): np.linalg.norm(np.array(g, "float64"))
        for v, g in zip(network.trainable_variables, gradients)
    }
    assert set(found) == set(norms)
    # noise of 1e-6 in the image changes single norms by 8%, their median by 2%
    errors = [abs(found[n] - norms[n]) / norms[n] for n in norms if norms[n] > 1e-3]
    assert max(errors) < 0.1 and np.median(errors) < 0.02
    assert max(found[n] for n in norms if norms[n] <= 1e-3) < 1e-2
    keys = {
        f"train/bn_after/{family_of(detector.config).reference_name(v.path)}": v
        for v in network.non_trainable_variables
    }
    stored = [key for key in keys if key in numbers]
    assert stored
    for key in stored:
        np.testing.assert_allclose(keys[key], numbers[key], rtol=1e-3, atol=1e-4, err_msg=key)
