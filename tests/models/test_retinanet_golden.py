"""RetinaNet R50-FPN against the original system's numbers at every joint."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import Golden

from kdet.config import R50, RetinaNet, coco_data
from kdet.models.detector import build
from kdet.models.families import family_of
from kdet.ops import boxes as box_ops

LEVELS = ("P3", "P4", "P5", "P6", "P7")


@pytest.fixture(scope="module")
def row():
    return Golden("retinanet_r50_fpn_1x")


@pytest.fixture(scope="module")
def detector(row):
    made = build(RetinaNet(R50), coco_data(pad_to=128))
    row.load_weights(made.network, made.config)
    return made


def test_backbone_and_pyramid(row, detector):
    names = ("res3d_relu", "res4f_relu", "res5c_relu")
    layers = [detector.network.get_layer(name).output for name in names]
    layers += detector.network.get_layer("fpn").output
    found = keras.Model(detector.network.inputs, layers)([row.image])
    joints = [f"backbone/res{n}_sum" for n in (3, 4, 5)]
    joints += [f"fpn/fpn_res{n}_sum" for n in (3, 4, 5)] + ["fpn/fpn_6", "fpn/fpn_7"]
    for joint, tensor in zip(joints, found):
        assert row.error(f"test/{joint}", np.transpose(tensor, (0, 3, 1, 2))) < 1e-4, joint


def test_heads_and_anchors(row, detector):
    raw = detector.outputs(row.inputs())
    for level in LEVELS:
        name = level.lower()
        assert row.error(f"test/retina/cls_pred_{name}", raw["logits"][level]) < 1e-4
        assert row.error(f"test/retina/bbox_pred_{name}", raw["deltas"][level]) < 1e-4
        inclusive = raw["anchors"][level] - np.array([0, 0, 1, 1], "float32")
        assert row.error(f"test/retina/anchor_{name}", inclusive) == 0


def test_detections(row, detector):
    found = {name: np.array(value) for name, value in detector(row.inputs()).items()}
    assert row.matched(found) >= 0.98
    assert (np.diff(found["scores"][0]) <= 0).all()


@pytest.mark.parametrize("jit", [False, True])
def test_losses_and_gradients(row, detector, jit):
    numbers, count = row.numbers, len(row.numbers["train/feed/gt_box"])
    scale = numbers["train/feed/im_info"][:, [2, 2]]
    boxes = np.zeros((1, count + 3, 4), "float32")
    boxes[0, :count] = numbers["train/feed/gt_box"] + [0, 0, 1, 1]
    labels = np.zeros((1, count + 3), "int32")
    labels[0, :count] = numbers["train/feed/gt_label"][:, 0] - 1
    batch = {
        "image": tf.constant(row.image),
        "boxes": box_ops.rescale(tf.constant(boxes), scale),
        "labels": tf.constant(labels),
        "valid": tf.range(count + 3)[None] < count,
    }

    @tf.function(jit_compile=jit)
    def step(batch):
        truth, counts = family_of(detector.config).targets(detector.config, batch)
        with tf.GradientTape() as tape:
            raw = detector.network(batch["image"], training=True)
            terms = family_of(detector.config).losses(detector.config, raw, truth, counts)
            total = sum(terms.values())
        return truth, counts, terms, tape.gradient(total, detector.network.trainable_variables)

    truth, counts, terms, gradients = step(batch)
    foreground = numbers["train/op/retinanet_target_assign.0/LocationIndex"]
    assert set(np.flatnonzero(truth["labels"][0] >= 0)) == set(foreground)
    assert counts["foreground"] == numbers["train/op/retinanet_target_assign.0/ForegroundNumber"]
    # the original's own float32 sum of 1.45 million terms is 0.15% low; its terms are exact
    exact = row.manifest["train"]["tensors"]["op/sigmoid_focal_loss.0/Out"]["sum_f64"]
    assert float(terms["class"]) == pytest.approx(exact, rel=1e-4)
    assert float(terms["class"]) == pytest.approx(
        row.manifest["train"]["losses"]["loss_cls"], rel=2e-3
    )
    assert float(terms["box"]) == pytest.approx(
        row.manifest["train"]["losses"]["loss_bbox"], rel=1e-4
    )

    names = row.manifest["grad"]["parameters_with_gradient"]
    expected = dict(zip(names, numbers["grad/l2norm"]))
    found = {
        family_of(detector.config).reference_name(v.path): np.linalg.norm(np.array(g, "float64"))
        for v, g in zip(detector.network.trainable_variables, gradients)
    }
    assert set(found) == set(expected)
    for name, norm in expected.items():
        assert found[name] == pytest.approx(norm, rel=1e-3), name
