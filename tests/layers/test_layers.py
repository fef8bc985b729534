import keras
import numpy as np
import pytest
import tensorflow as tf

from kdet.layers.conv_norm import FrozenNormConv2D
from kdet.layers.fpn import FPN
from kdet.models.retinanet.detections import RetinaDetections
from kdet.models.retinanet.network import RetinaHead


@pytest.mark.parametrize(
    ("cls", "init"),
    [
        (
            FrozenNormConv2D,
            {"filters": 8, "kernel_size": 3, "strides": 2, "groups": 2, "initial_scale": 0.5},
        ),
        (FPN, {"width": 16, "extra": "pool"}),
        (RetinaHead, {"num_classes": 5, "anchors_per_cell": 3, "width": 8, "depth": 2}),
        (
            RetinaDetections,
            {
                "score_threshold": 0.1,
                "pre_nms_top_n_per_level": 7,
                "nms_iou": 0.3,
                "max_detections": 9,
                "clip_to": "image",
            },
        ),
    ],
)
def test_config_holds_every_argument(cls, init):
    config = cls(**init).get_config()
    assert {name: config[name] for name in init} == init
    assert cls.from_config(config).get_config() == config


@pytest.mark.parametrize(("kernel_size", "strides", "groups"), [(1, 1, 1), (3, 2, 2), (7, 2, 1)])
def test_frozen_norm_is_scale_and_offset_after_the_convolution(kernel_size, strides, groups):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 12, 4)).astype("float32")
    layer = FrozenNormConv2D(6, kernel_size, strides, groups)
    layer.build(x.shape)
    scale, offset = rng.normal(size=(2, 6)).astype("float32")
    layer.scale.assign(scale)
    layer.offset.assign(offset)
    side = (kernel_size - 1) // 2
    padded = np.pad(x, [(0, 0), (side, side), (side, side), (0, 0)])
    plain = keras.ops.conv(padded, layer.kernel, strides=strides, padding="valid")
    found = layer(x)
    np.testing.assert_allclose(found, plain * scale + offset, atol=1e-4)
    assert found.shape == layer.compute_output_shape(x.shape)


def test_frozen_norm_ignores_trainable():
    layer = FrozenNormConv2D(6, 3)
    layer.build((1, 8, 8, 4))
    layer.trainable = False
    assert not layer.trainable_variables
    layer.trainable = True
    assert [v.name for v in layer.trainable_variables] == ["kernel"]


def test_fpn_adds_the_coarser_level_upsampled():
    sides, channels = {"C3": 8, "C4": 4}, 3
    fpn = FPN(width=2, extra="none")
    features = {n: np.zeros((1, s, s, channels), "float32") for n, s in sides.items()}
    features["C4"][0, 1, 2] = 1.0
    fpn.build({n: f.shape for n, f in features.items()})
    for layer in fpn.lateral.values():
        layer.kernel.assign(np.ones(layer.kernel.shape))
    for layer in fpn.smooth.values():
        identity = np.zeros(layer.kernel.shape)
        identity[1, 1] = np.eye(2)
        layer.kernel.assign(identity)
    fine = np.array(fpn(features)["P3"])[0, :, :, 0]
    expected = np.zeros((8, 8))
    expected[2:4, 4:6] = channels
    np.testing.assert_allclose(fine, expected)


@pytest.mark.parametrize("extra", ["none", "pool", "conv"])
def test_fpn_shapes(extra):
    fpn = FPN(width=4, extra=extra)
    shapes = {f"C{n}": (2, 128 // 2**n, 256 // 2**n, 8) for n in (3, 4, 5)}
    found = fpn({n: np.zeros(s, "float32") for n, s in shapes.items()})
    assert {n: tuple(f.shape) for n, f in found.items()} == fpn.compute_output_shape(shapes)
    if extra == "pool":
        np.testing.assert_array_equal(found["P6"], np.array(found["P5"])[:, ::2, ::2])


def test_detections_by_hand():
    """Two classes; P3 holds two overlapping boxes, P4 (the coarsest) a weak one."""
    anchors = {
        "P3": np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]], "float32"),
        "P4": np.array([[20, 0, 30, 10]], "float32"),
    }
    logits = {
        "P3": np.array([[[2, -9], [1, -9], [-9, -3.5]]], "float32"),
        "P4": np.array([[[-4, -9]]], "float32"),
    }
    deltas = {name: np.zeros((1, len(a), 4), "float32") for name, a in anchors.items()}
    layer = RetinaDetections(pre_nms_top_n_per_level=10, max_detections=5)
    found = layer(
        {"logits": logits, "deltas": deltas, "anchors": anchors},
        np.zeros((1, 64, 64, 3), "float32"),
        np.array([[64, 32]], "float32"),
        np.array([[128, 32]], "float32"),
    )
    # the second box falls to the first, the third is below 0.05, the coarsest level keeps 0.018
    assert np.array(found["valid"])[0].tolist() == [True, True, True, False, False]
    assert np.array(found["labels"])[0, :3].tolist() == [0, 0, 1]
    scores = 1 / (1 + np.exp([-2.0, 4.0, 9.0]))
    np.testing.assert_allclose(np.array(found["scores"])[0, :3], scores, rtol=1e-5)
    np.testing.assert_allclose(np.array(found["boxes"])[0, :2], [[0, 0, 10, 19], [20, 0, 30, 19]])


def test_a_level_of_unknown_size_has_no_copies_of_its_first_anchor():
    """P4 has one anchor where ten are asked for; the other nine must not be taken from it."""
    anchors = {name: np.array([[0, 0, 10, 10]] * 2, "float32") for name in ("P3", "P4")}
    anchors["P4"] = np.array([[20, 0, 30, 10], [40, 0, 50, 10]], "float32")
    logits = {"P3": [[[2, -9], [1, -9]]], "P4": [[[0, -4], [-1, -5]]]}
    logits = {name: np.array(values, "float32") for name, values in logits.items()}
    deltas = {name: np.zeros((1, 2, 4), "float32") for name in anchors}
    layer = RetinaDetections(pre_nms_top_n_per_level=4, max_detections=5)
    images = [np.zeros((1, 64, 64, 3), "float32"), *[np.full((1, 2), 64, "float32")] * 2]

    @tf.function(
        input_signature=[
            {n: tf.TensorSpec((1, None, 2)) for n in anchors},
            {n: tf.TensorSpec((1, None, 4)) for n in anchors},
            {n: tf.TensorSpec((None, 4)) for n in anchors},
        ],
        autograph=False,
    )
    def unknown(logits, deltas, anchors):
        return layer({"logits": logits, "deltas": deltas, "anchors": anchors}, *images)

    wanted = layer({"logits": logits, "deltas": deltas, "anchors": anchors}, *images)
    found = unknown(logits, deltas, anchors)
    assert np.array(wanted["valid"]).sum() == 5
    for name, values in wanted.items():
        np.testing.assert_allclose(np.array(found[name]), np.array(values), rtol=1e-6)
