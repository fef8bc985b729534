"""Anchors that are fitted to objects."""

from dataclasses import replace

import numpy as np
import pytest

from kdet.config import SSD, RetinaNet, YOLOv3
from kdet.models import anchor_fit, retinanet, ssd, yolov3
from kdet.models.anchor_fit import Objects


def objects(shapes, canvas=(320, 320), weights=None):
    rng = np.random.default_rng(0)
    shapes = np.asarray(shapes, np.float32)
    low = rng.uniform(0, 1, shapes.shape) * (np.array(canvas[::-1]) - shapes)
    boxes = np.concatenate([low, low + shapes], axis=1).astype("float32")
    weights = np.full(len(shapes), 1 / len(shapes)) if weights is None else np.asarray(weights)
    return Objects(boxes, weights, canvas)


def test_best_iou_by_hand():
    """(0, 0, 4, 4) shares 8 of 24 with (2, 0, 6, 4), and nothing with (9, 9, 11, 11)."""
    anchors = [(2, 0, 6, 4), (9, 9, 11, 11)]
    boxes = [(0, 0, 4, 4), (9, 9, 11, 10), (20, 20, 30, 30)]
    np.testing.assert_allclose(anchor_fit.best_iou(anchors, boxes), [8 / 24, 0.5, 0])


def test_k_means_finds_the_clusters():
    centres = np.array([(10, 20), (40, 40), (100, 60)])
    shapes = np.concatenate([centre + np.array([(-1, 0), (1, 0), (0, 1)]) for centre in centres])
    found = anchor_fit.k_means(shapes, np.full(9, 1 / 9), 3)
    np.testing.assert_allclose(found, centres + np.array([0, 1 / 3]), atol=1e-6)


def test_weights_count():
    """One object of a rare class has the weight of nine others, and gets an anchor of its own."""
    shapes = np.array([(100, 100)] * 9 + [(10, 10)])
    weights = np.array([1 / 18] * 9 + [1 / 2])
    found = anchor_fit.k_means(shapes, weights, 2)
    np.testing.assert_allclose(found, [(10, 10), (100, 100)])
    assert objects(shapes, weights=weights).covered(np.array([0.6] * 9 + [0.4])) == 0.5


def test_yolo_anchors_cover_unusual_objects():
    shapes = np.random.default_rng(1).uniform((150, 6), (250, 10), (60, 2))  # long and flat
    flat = objects(shapes)
    config = YOLOv3()
    found = yolov3.FAMILY.fit_anchors(config, flat)
    before, after = (flat.covered(yolov3.FAMILY.best_iou(c, flat)) for c in (config, found))
    assert before == 0 and after == 1
    areas = [width * height for width, height in found.anchors]
    assert len(areas) == 9 and areas == sorted(areas)


def test_ssd_priors_cover_small_objects():
    small = objects(np.random.default_rng(2).uniform(30, 36, (60, 2)), (300, 300))
    config = SSD()
    found = ssd.FAMILY.fit_anchors(config, small)
    before, after = (small.covered(ssd.FAMILY.best_iou(c, small)) for c in (config, found))
    assert before < 0.1 and after > 0.9
    assert len(found.prior_sizes) == 7 and 28 < found.prior_sizes[0] < 38


def test_good_anchors_are_kept():
    usual = objects(np.random.default_rng(3).uniform(60, 250, (60, 2)), (300, 300))
    config = replace(SSD(), prior_sizes=ssd.FAMILY.fit_anchors(SSD(), usual).prior_sizes)
    assert ssd.FAMILY.fit_anchors(config, usual) == config


@pytest.mark.parametrize("side, scale", [(9, 0.25), (16, 0.5), (64, 1.0)])
def test_scale_of_pyramid_anchors(side, scale):
    found = retinanet.FAMILY.fit_anchors(RetinaNet(), objects([(side, side)] * 20, (128, 128)))
    assert found.anchor_scale == pytest.approx(scale, rel=0.45)


def test_heads_are_told_from_backbones():
    assert ssd.FAMILY.is_head_tensor("conv2d_22.w_0")
    assert not ssd.FAMILY.is_head_tensor("conv5_5_sep_weights")
    assert yolov3.FAMILY.is_head_tensor("yolo_block.0.0.0.conv.weights")
    assert not yolov3.FAMILY.is_head_tensor("stage.0.0.0.conv.weights")
    assert retinanet.FAMILY.is_head_tensor("retnet_cls_conv_n2_fpn3_w")
    assert not retinanet.FAMILY.is_head_tensor("res2a_branch2a_weights")
