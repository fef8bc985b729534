"""YOLO's and SSD's decoders on boxes small enough to follow by hand."""

import numpy as np
import pytest

from kdet.config import MobileNet, YOLOv3
from kdet.models.ssd.detections import SSDDetections
from kdet.models.ssd.priors import SSDPriors
from kdet.models.yolov3.detections import YOLODetections
from kdet.models.yolov3.network import network as build_yolo

ANCHORS = YOLOv3().anchors
LIMITS = {"score_threshold": 0.1, "pre_nms_top_n_per_class": 7, "nms_iou": 0.3, "max_detections": 9}


@pytest.mark.parametrize(
    ("cls", "init"),
    [
        (SSDPriors, {"sizes": (1, 2, 3, 4, 5, 6, 7)}),
        (SSDDetections, LIMITS),
        (YOLODetections, {"anchors": ANCHORS, **LIMITS}),
    ],
)
def test_config_holds_every_argument(cls, init):
    config = cls(**init).get_config()
    assert {name: config[name] for name in init} == init
    assert cls.from_config(config).get_config() == config


def logit(p):
    return np.log(p / (1 - p))


def test_yolo_by_hand():
    """One box of P5 and one of P4, which has two classes, in an image of 640 x 128."""
    raw = {
        name: np.full((1, 64 // s, 64 // s, 3 * 7), -20, "float32")
        for name, s in (("P3", 8), ("P4", 16), ("P5", 32))
    }
    # cell (row 1, column 0): center (0.25, 0.75) of the image, 116 / 64 wide, 90 / 64 high
    raw["P5"][0, 1, 0, :7] = [0, 0, 0, 0, logit(0.8), logit(0.5), -20]
    # P3's second anchor (16, 30) at row 7, column 2; objectness alone is below the threshold
    raw["P3"][0, 7, 2, 7:14] = [0, 0, np.log(2), 0, logit(0.009), 20, 20]
    # P4's third anchor (59, 119) at row 0, column 3, both classes
    raw["P4"][0, 0, 3, 14:] = [0, 0, np.log(0.5), np.log(0.25), logit(0.6), logit(0.9), logit(0.2)]
    layer = YOLODetections(ANCHORS, max_detections=5)
    found = layer(
        raw,
        np.zeros((1, 64, 64, 3), "float32"),
        np.array([[64, 64]], "float32"),
        np.array([[640, 128]], "float32"),
    )
    valid = np.array(found["valid"])[0]
    assert valid.tolist() == [True, True, True, False, False]
    np.testing.assert_allclose(np.array(found["scores"])[0, :3], [0.54, 0.4, 0.12], rtol=1e-5)
    assert np.array(found["labels"])[0, :3].tolist() == [0, 0, 1]
    # x: center 56 of 64, 29.5 wide -> 82.5 .. (141.5 clipped to the last pixel 127) + 1, at scale 2
    # y: center 8 of 64, 29.75 high -> 0 .. 228.75 + 1, at scale 10
    # the wide one: center (32, 480), 232 x 900 -> clipped to 0 .. 127 and 30 .. 639, plus 1
    np.testing.assert_allclose(
        np.array(found["boxes"])[0, :2], [[82.5, 0, 128, 229.75], [0, 30, 128, 640]], rtol=1e-5
    )


def test_ssd_by_hand():
    """Three priors; the first two overlap with IoU 0.6, the third moves by its deltas."""
    priors = np.array([[0, 0, 0.4, 0.4], [0.1, 0, 0.5, 0.4], [0.5, 0.5, 0.7, 0.9]], "float32")
    deltas = np.zeros((1, 3, 4), "float32")
    deltas[0, 2] = [10 * 0.5, -10 * 0.25, 5 * np.log(2), 0]  # + 0.1 in x, - 0.1 in y, twice as wide
    share = np.array([[0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.005, 0.005, 0.99]], "float32")
    layer = SSDDetections(max_detections=4, score_threshold=0.2)
    found = layer(
        {"logits": np.log(share)[None], "deltas": deltas, "priors": priors},
        np.zeros((1, 300, 300, 3), "float32"),
        np.array([[300, 300]], "float32"),
        np.array([[100, 200]], "float32"),
    )
    assert np.array(found["valid"])[0].tolist() == [True, True, False, False]
    assert np.array(found["labels"])[0, :2].tolist() == [1, 0]
    np.testing.assert_allclose(np.array(found["scores"])[0, :2], [0.99, 0.7], rtol=1e-5)
    # x: center 0.7, width 0.4 -> 0.5 .. 0.9 of 200; y: center 0.6 -> 0.4 .. 0.8 of 100
    np.testing.assert_allclose(
        np.array(found["boxes"])[0, :2], [[100, 40, 180, 80], [0, 0, 80, 40]], atol=1e-3
    )


@pytest.mark.parametrize(("prior", "bias"), [(0.5, 0.0), (0.01, -np.log(99))])
def test_new_yolo_layers_start_with_the_prior_as_objectness(prior, bias):
    """Three anchors of x, y, w, h, objectness and two classes; only objectness has a bias."""
    network = build_yolo(YOLOv3(MobileNet(0.25), num_classes=2, objectness_prior=prior))
    for level in range(3):
        found = np.array(network.get_layer(f"yolo_output.{level}.conv").bias)
        np.testing.assert_allclose(found, np.tile([0, 0, 0, 0, bias, 0, 0], 3), atol=1e-6)
    assert YOLOv3().objectness_prior == 0.5
