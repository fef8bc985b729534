"""Faster, Mask and Cascade R-CNN against the original system's numbers at every joint."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import Golden

from kdet.config import R50, RCNN, SE154_VD, c4_rcnn
from kdet.models.detector import build
from kdet.models.families import family_of
from kdet.models.family import network_inputs

CONFIGS = {
    "faster_rcnn_r50_fpn_1x": RCNN(R50, sampling="first"),
    "cascade_rcnn_r50_fpn_1x": RCNN(R50, cascade=True, sampling="first"),
    "mask_rcnn_r50_1x": c4_rcnn(
        R50,
        mask=True,
        sampling="first",
        roi_batch_size=64,
        rpn_pre_nms_top_n_test=6000,
        rpn_post_nms_top_n_test=100,
    ),
    "faster_rcnn_se154_vd_fpn_s1x": RCNN(SE154_VD, sampling="first"),
}
# Which are trained here, and with XLA. The gradients of 64 groups take minutes to compile on CPUs.
TRAINED = {
    "faster_rcnn_r50_fpn_1x": True,
    "cascade_rcnn_r50_fpn_1x": False,
    "mask_rcnn_r50_1x": True,
}
NAMES = {"rpn_class": "rpn_cls", "rpn_box": "rpn_bbox", "class": "cls", "box": "bbox"}


@dataclass
class Row:
    golden: Golden
    detector: object
    raw: dict


@pytest.fixture(scope="module", params=CONFIGS)
def row(request):
    golden = Golden(request.param)
    keras.utils.clear_session(free_memory=True)
    detector = build(CONFIGS[request.param])
    golden.load_weights(detector.network, detector.config)
    return Row(golden, detector, detector.outputs(golden.inputs()))


def test_proposal_head(row):
    numbers, rpn = row.golden.numbers, row.raw["rpn"]
    for number, level in enumerate(sorted(rpn["logits"])):
        again = f"#{number}" if number else ""
        for kind, joint in (("logits", "cls_score"), ("deltas", "bbox_pred")):
            key = f"test/rpn/{joint}{again}"
            _, channels, height, width = row.golden.manifest["test"]["tensors"][key[5:]]["shape"]
            found = np.reshape(rpn[kind][level], (1, height, width, channels))
            assert row.golden.error(key, found.transpose(0, 3, 1, 2)) < 1e-5, key
        anchors = rpn["anchors"][level] - np.array([0, 0, 1, 1], "float32")
        key = f"test/op/anchor_generator.{number}/Anchors"
        if key in numbers or f"{key}@idx" in numbers:
            assert row.golden.error(key, np.reshape(anchors, (height, width, -1, 4))) == 0


def test_proposals(row):
    expected = row.golden.numbers["test/proposals"] + [0, 0, 1, 1]
    used = np.array(row.raw["valid"])[0]
    found = np.array(row.raw["stages"]["1"]["rois"])[0][used]
    assert found.shape == expected.shape
    # near-equal scores may change places: compare as sets
    distance = np.abs(found[:, None] - expected[None]).max(axis=2)
    assert max(distance.min(axis=0).max(), distance.min(axis=1).max()) < 1e-3


def places(row):
    """Where the golden proposals stand among ours: near-equal scores may change places."""
    expected = row.golden.numbers["test/proposals"] + [0, 0, 1, 1]
    found = np.array(row.raw["stages"]["1"]["rois"])[0]
    index = np.abs(found[None] - expected[:, None]).max(axis=2).argmin(axis=1)
    assert len(set(index)) == len(index) and np.mean(index == np.arange(len(index))) > 0.98
    return index


def test_box_heads(row):
    used = places(row)
    facts = row.golden.manifest["test"]["tensors"]
    for number, stage in row.raw["stages"].items():
        again = f"#{int(number) - 1}" if number != "1" else ""
        for kind, joint in (("logits", "cls_score"), ("deltas", "bbox_pred")):
            found = np.array(stage[kind])[0][used]
            found = found.reshape(facts[f"head/{joint}{again}"]["shape"])
            assert row.golden.error(f"test/head/{joint}{again}", found) < 1e-5
    for number, key in (("1", "head/cls_score#3"), ("2", "head/cls_score#4")):
        if key in facts:
            assert (
                row.golden.error(f"test/{key}", np.array(row.raw["votes"][number])[0][used]) < 1e-5
            )


def test_detections(row):
    found = {name: np.array(value) for name, value in row.detector(row.golden.inputs()).items()}
    assert row.golden.matched(found, box=0.01, score=1e-5) == 1
    assert (np.diff(found["scores"][0]) <= 0).all()
    if "masks" not in found:
        return
    rows = zip(
        row.golden.numbers["test/out/bbox"], row.golden.numbers["test/out/mask_of_label_f16"]
    )
    for (label, score, *_), mask in rows:
        same = (found["labels"][0] == label - 1) & (np.abs(found["scores"][0] - score) < 1e-5)
        assert np.abs(found["masks"][0][same] - mask).max(axis=(1, 2)).min() < 5e-4


@pytest.mark.parametrize(("name", "jit"), TRAINED.items())
def test_losses_and_gradients(name, jit):
    golden, config = Golden(name), CONFIGS[name]
    keras.utils.clear_session(free_memory=True)
    detector = build(config)
    golden.load_weights(detector.network, detector.config)
    network = detector.training_model()

    @tf.function(jit_compile=jit)
    def step(batch):
        truth, counts = family_of(config).targets(config, batch)
        with tf.GradientTape() as tape:
            raw = network(network_inputs(network, batch), training=True)
            terms = family_of(config).losses(config, raw, truth, counts)
            total = sum(terms.values())
        return truth, raw, terms, tape.gradient(total, network.trainable_variables)

    truth, raw, terms, gradients = step(golden.train_batch(padding=3))
    _check_sample(golden, truth, raw)
    expected = golden.manifest["train"]["losses"]
    for ours, value in terms.items():
        kind, _, stage = ours.partition("_") if ours[-1].isdigit() else (ours, "", "")
        theirs = f"loss_{NAMES.get(kind, kind)}"
        if stage:
            theirs = f"loss_{'loc' if kind == 'box' else 'cls'}_{int(stage) - 1}"
        assert float(value) == pytest.approx(expected.pop(theirs), rel=1e-5), ours
    assert float(sum(terms.values())) == pytest.approx(expected.pop("loss"), rel=1e-5)
    assert not expected

    names = golden.manifest["grad"]["parameters_with_gradient"]
    expected = dict(zip(names, golden.numbers["grad/l2norm"]))
    found = {
        family_of(config).reference_name(v.path): np.linalg.norm(np.array(g, "float64"))
        for v, g in zip(network.trainable_variables, gradients)
    }
    assert set(found) == set(expected)
    for name, norm in expected.items():
        assert found[name] == pytest.approx(norm, rel=1e-3, abs=1e-9), name


def _check_sample(golden, truth, raw):
    numbers, op = golden.numbers, "train/op/generate_proposal_labels"
    used, anchors = np.array(truth["used"]), np.array(truth["anchors"])
    foreground = used & (np.array(truth["labels"]) == 1)
    assert set(anchors[used]) == set(numbers["train/op/rpn_target_assign.0/ScoreIndex"])
    key = "train/op/rpn_target_assign.0/LocationIndex"
    assert sorted(anchors[foreground]) == sorted(numbers[key])
    for number, stage in raw["stages"].items():
        expected = numbers[f"{op}.{int(number) - 1}/Rois"] + [0, 0, 1, 1]
        labels = numbers[f"{op}.{int(number) - 1}/LabelsInt32"][:, 0] - 1
        distance = np.abs(np.array(stage["rois"])[0][:, None] - expected[None]).max(axis=2)
        assert distance.min(axis=1).max() < 1e-3 and distance.min(axis=0).max() < 1e-3
        nearest = distance.argmin(axis=1)
        np.testing.assert_array_equal(np.array(stage["labels"])[0], labels[nearest])
    if "masks" in raw:
        found = np.transpose(raw["masks"][0], (0, 3, 1, 2))
        assert golden.error("train/mask/logits", found) < 1e-5
        key = "train/op/generate_mask_labels.0/mask_of_label_i8"
        np.testing.assert_array_equal(raw["mask_targets"][0], numbers[key])
