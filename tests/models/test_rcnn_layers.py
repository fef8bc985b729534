"""The two-stage family's layers on numbers worked out by hand."""

import keras
import numpy as np
import pytest
import small_rcnn
import tensorflow as tf

from kdet.config import RCNN, ResNet
from kdet.layers.roi_align import RoIAlign
from kdet.models.families import family_of
from kdet.models.family import network_inputs
from kdet.models.rcnn.detections import BoxDetections
from kdet.models.rcnn.roi_heads import BoxHead, MaskHead
from kdet.models.rcnn.roi_sampler import ApplyDeltas, LeadingForeground, RoISampler
from kdet.models.rcnn.rpn import Proposals, RPNHead
from kdet.ops import tf_kernels

VARIANCES = (0.1, 0.1, 0.2, 0.2)
SIZE = np.array([[100, 100]], "float32")


@pytest.mark.parametrize(
    ("cls", "init"),
    [
        (RPNHead, {"anchors_per_cell": 15}),
        (Proposals, {"pre_nms_top_n": 7, "post_nms_top_n": 5, "nms_iou": 0.6}),
        (RoIAlign, {"size": 14}),
        (BoxHead, {"num_classes": 5, "boxes": 2, "hidden": 0}),
        (MaskHead, {"num_classes": 5, "depth": 0, "width": 8}),
        (ApplyDeltas, {"variances": VARIANCES}),
        (LeadingForeground, {"most": 7}),
        (
            RoISampler,
            {"count": 8, "foreground": 0.5, "iou": 0.6, "variances": VARIANCES, "later": True},
        ),
        (
            BoxDetections,
            {
                "variances": VARIANCES,
                "score_threshold": 0.1,
                "pre_nms_top_n": 7,
                "nms_iou": 0.3,
                "max_detections": 9,
            },
        ),
    ],
)
def test_config_holds_every_argument(cls, init):
    config = cls(**init).get_config()
    assert {name: config[name] for name in init} == init
    assert cls.from_config(config).get_config() == config


def propose(anchors, logits, after=4, size=SIZE):
    deltas = {name: np.zeros((1, len(boxes), 4), "float32") for name, boxes in anchors.items()}
    anchors = {name: np.array(boxes, "float32") for name, boxes in anchors.items()}
    logits = {name: np.array([values], "float32") for name, values in logits.items()}
    found = Proposals(3, after, 0.7)(logits, deltas, anchors, size)
    used = np.array(found["valid"])[0]
    return np.array(found["boxes"])[0][used].tolist(), used.sum()


def test_proposals_suppress_within_a_level_and_rank_over_all():
    same = [10, 10, 50, 50]
    anchors = {"P2": [same, [11, 10, 51, 50], [0, 0, 9, 9], [60, 60, 70, 70]], "P3": [same]}
    logits = {"P2": [2, 3, -1, -2], "P3": [1]}
    # the shifted twin wins, the fourth anchor of P2 is not among the best three
    boxes, count = propose(anchors, logits)
    assert boxes == [[11, 10, 51, 50], same, [0, 0, 9, 9]] and count == 3
    assert propose(anchors, logits, after=2)[0] == [[11, 10, 51, 50], same]


def test_proposals_are_clipped_and_at_least_a_pixel():
    anchors = {"P2": [[-20, 30, 40, 130], [10, 10, 10.5, 40], [150, 150, 170, 170]]}
    boxes, _ = propose(anchors, {"P2": [3, 2, 1]})
    assert boxes == [[0, 30, 40, 100], [99, 99, 100, 100]]
    assert propose(anchors, {"P2": [3, 2, 1]}, size=SIZE / 2)[0][0] == [0, 30, 40, 50]


def sample(count=4, seeds=None, later=False, truth=((0, 0, 20, 20),), rois=None, scale=1.0):
    rois = rois or [
        [50, 50, 90, 90],
        [0, 0, 20, 18],
        [0, 0, 20, 10.5],
        [0, 2, 20, 20],
        [0, 0, 9, 9],
    ]
    boxes = np.zeros((1, 3, 4), "float32")
    boxes[0, : len(truth)] = np.reshape(truth, (-1, 4))
    labels = np.array([[7, 8, 9]], "int32")
    layer = RoISampler(count, 0.5, 0.5, VARIANCES, later)
    found = layer(
        np.array([rois], "float32"),
        np.ones((1, len(rois)), bool),
        boxes,
        labels,
        np.arange(3)[None] < len(truth),
        SIZE,
        SIZE / scale,
        *(() if seeds is None else (np.array([seeds], "int32"),)),
    )
    return {name: np.array(value)[0] for name, value in found.items()}


def test_the_first_candidates_are_sampled():
    found = sample()
    # truth joins; two of four may be foreground
    assert found["labels"].tolist() == [7, 7, -1, -1]
    assert found["rois"].tolist() == [
        [0, 0, 20, 20],
        [0, 0, 20, 18],
        [50, 50, 90, 90],
        [0, 0, 9, 9],
    ]
    expected = [0, 1 / 18 / 0.1, 0, np.log(20 / 18) / 0.2]
    np.testing.assert_allclose(found["target"][1], expected, atol=1e-5)
    assert (found["target"][2:] == 0).all()


def test_unused_places_and_images_without_truth():
    assert sample(count=9)["labels"].tolist() == [7, 7, 7, 7, -1, -1, -2, -2, -2]
    empty = sample(truth=())
    assert empty["labels"].tolist() == [-1] * 4 and (empty["target"] == 0).all()


def test_later_heads_keep_all_and_put_truth_in_front():
    found = sample(count=5, later=True)
    assert found["rois"][0].tolist() == [0, 0, 20, 20]
    assert found["rois"][1:, 3].tolist() == [18, 10.5, 20, 9]
    assert found["labels"].tolist() == [7, 7, 7, 7, -1]


def test_random_samples_depend_on_the_seed_alone():
    rois = [[i % 7, i % 5, 20, 20] for i in range(60)] + [
        [30 + i % 9, 40, 90, 90] for i in range(60)
    ]
    draws = [sample(count=16, seeds=seed, rois=rois) for seed in range(40)]
    for draw in draws:
        assert (draw["labels"][:8] == 7).all() and (draw["labels"][8:] == -1).all()
    again = sample(count=16, seeds=3, rois=rois)["rois"]
    assert (again == draws[3]["rois"]).all() and (again != draws[4]["rois"]).any()
    # uniform: the last third of the background comes up about a third of the time
    late = np.mean([(draw["rois"][8:, 0] >= 36).mean() for draw in draws])
    assert 0.2 < late < 0.45


def test_votes_are_averaged_and_the_last_stage_decodes():
    rois = np.array([[[10, 10, 30, 30], [12, 10, 32, 30], [60, 60, 80, 80]]], "float32")
    deltas = np.zeros((1, 3, 2, 4), "float32")
    deltas[0, 2, 1] = [1, 0, 0, 0]  # a tenth of the width to the right
    logits = np.log(np.array([[[0.2, 0.7, 0.1], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]]], "float32"))
    other = np.log(np.array([[[0.2, 0.5, 0.3], [0.2, 0.2, 0.6], [0.96, 0.02, 0.02]]], "float32"))
    raw = {
        "stages": {"3": {"rois": rois, "deltas": deltas, "logits": logits}},
        "votes": {"1": other, "3": logits},
        "valid": np.array([[True, True, True]]),
    }
    layer = BoxDetections(VARIANCES, 0.05, pre_nms_top_n=6, max_detections=5)
    found = layer(raw, np.zeros((1, 128, 128, 3), "float32"), SIZE, SIZE)
    # (box 0, class 0) .6 beats (box 1, class 0) .4; .06 of box 2, class 0 stays
    scores = np.array(found["scores"])[0]
    np.testing.assert_allclose(scores, [0.6, 0.41, 0.4, 0.06, 0], atol=1e-6)
    assert np.array(found["labels"])[0, :4].tolist() == [0, 1, 1, 0]
    np.testing.assert_allclose(np.array(found["boxes"])[0, 1], [62, 60, 82, 80], atol=1e-4)


def test_mask_head_doubles_the_side():
    head = MaskHead(3, depth=1, width=4)
    x = keras.Input((5, 7, 7, 6))
    assert head(x).shape == (None, 5, 14, 14, 4)
    assert head(np.zeros((2, 5, 7, 7, 6), "float32")).shape == (2, 5, 14, 14, 4)


@pytest.mark.parametrize("jit", [False, True])
def test_layers_compile(jit):
    layer = RoISampler(8, 0.25, 0.5, VARIANCES)

    @tf.function(jit_compile=jit, autograph=False)
    def run(rois, boxes, seeds):
        valid, labels = tf.ones((2, 40), tf.bool), tf.zeros((2, 3), tf.int32)
        size = tf.ones((2, 2)) * 100
        return layer(rois, valid, boxes, labels, tf.ones((2, 3), tf.bool), size, size, seeds)

    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, size=(2, 43, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, size=(2, 43, 2))], axis=2)
    boxes = tf.constant(boxes.astype("float32"))
    both = run(boxes[:, 3:], boxes[:, :3], tf.constant([4, 9]))
    # an image's sample does not depend on its neighbours, nor on who shares its replica
    swapped = run(boxes[::-1, 3:], boxes[::-1, :3], tf.constant([9, 4]))
    for name in both:
        np.testing.assert_array_equal(both[name], swapped[name][::-1])


def test_boxes_keep_their_precision_beside_half_precision_features():
    layer = RoIAlign(2, dtype="mixed_bfloat16")
    features = {
        f"P{level}": np.zeros((1, 512 >> level, 1024 >> level, 1)) for level in (2, 3, 4, 5)
    }
    features["P2"] += np.arange(256)[:, None] % 2  # columns of 0 and 1
    features = {name: tf.cast(value, "bfloat16") for name, value in features.items()}
    boxes = tf.constant([[[1001.0, 10, 1006, 20]]])  # bfloat16 knows 1000 and 1004 only
    found = [layer(features, boxes, training=training) for training in (False, True)]
    assert found[0].dtype == found[1].dtype == "bfloat16"
    # the value of the ramps between cells 250, 251 and 252, averaged over pairs of samples
    x = 1001 / 4 + (np.arange(4) + 0.5) / 4
    share = np.where(x < 251, x - 250, 252 - x).reshape(2, 2).mean(axis=1)
    for pooled in found:
        np.testing.assert_allclose(np.array(pooled[0, 0, 0, :, 0], "float32"), share, atol=0.01)


def test_the_mask_head_sees_as_few_rois_as_possible():
    """As many as the image with the most foreground has, at least one; with XLA always `most`."""
    layer = LeadingForeground(3)
    values = tf.reshape(tf.range(16.0), (2, 4, 2))
    for labels, count in ([[1, 0, -1, -1], [2, -1, -2, -2]], 2), ([[-1] * 4, [-2] * 4], 1):
        found = layer(tf.constant(labels), values)
        np.testing.assert_array_equal(found, values[:, :count])
        compiled = tf.function(layer, jit_compile=True)
        assert compiled(tf.constant(labels), values).shape == (2, 3, 2)


def test_fewer_mask_rois_change_no_loss_and_no_gradient(monkeypatch):
    """Compared with all of them, as they are used with fixed shapes."""
    keras.utils.set_random_seed(0)
    detector = small_rcnn.build(small_rcnn.shrink(RCNN(ResNet(50), mask=True, sampling="first")))
    batch = {name: tf.constant(value) for name, value in small_rcnn.polygon_batch(2).items()}
    family, network = family_of(detector.config), detector.training_model()

    def step():
        targets, counts = family.targets(detector.config, batch)
        with tf.GradientTape() as tape:
            raw = network(network_inputs(network, batch), training=True)
            losses = family.losses(detector.config, raw, targets, counts)
            total = tf.add_n(list(losses.values()))
        return raw["masks"].shape[1], losses, tape.gradient(total, network.trainable_variables)

    few, losses, gradients = step()
    monkeypatch.setattr(tf_kernels, "leading_count", lambda used, most: most)
    most, same_losses, same_gradients = step()
    assert few < most == detector.config.mask_rois and losses["mask"] > 0
    for name, value in losses.items():
        np.testing.assert_allclose(value, same_losses[name], rtol=1e-5)
    for one, two in zip(gradients, same_gradients):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-6)
