"""Masks put in their place: the reference's rule by hand, borders, run lengths."""

import numpy as np
import pytest
from pycocotools import mask as coco

from kdet.masks import paste_mask, paste_masks
from kdet.masks.rle import encode_mask, mask_from_runs, runs_from_string
from kdet.ops.polygons import rasterize


def test_a_full_mask_by_hand():
    """M = 2: [1, 1] between two zeros, over twice the box.

    x: 10..17 inclusive grows about 13.5 from 3.5 to 7 a side: 6.5 to 20.5, cut to 6..20, 15 pixels.
    Pixel p reads cell (p - 6 + 0.5) * 4 / 15 - 0.5; above 0.5 between cells 0.5 and 2.5, so
    p - 6 + 0.5 is above 3.75 and below 11.25: p = 10..16.
    y: 4..7 grows about 5.5 from 1.5 to 3: 2.5 to 8.5, cut to 2..8, 7 pixels; p - 1.5 is above 1.75
    and below 5.25: p = 4..6.
    """
    found = paste_mask(np.ones((2, 2)), [10, 4, 18, 8], (20, 30))
    assert found.shape == (20, 30) and found.dtype == bool
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (4, 6, 10, 16)
    # the middle row reads y at cell 1.5, where both are 1: all of its columns are in
    assert found[5, 10:17].all() and not found[5, :10].any() and not found[5, 17:].any()


def smooth(place, values):
    """Linear interpolation with zero beyond the border's middle, written once more."""
    padded = np.concatenate([[0], values, [0]])
    return np.interp(place, np.arange(len(padded)), padded)


@pytest.mark.parametrize("box", [(3, 2, 31, 19), (-8.5, -3.2, 12.7, 9.9), (20.3, 5.1, 60, 50)])
def test_products_of_curves_come_out_as_such(box):
    """A mask that is a product of a row and a column, against one-dimensional interpolation."""
    rng = np.random.default_rng(0)
    down, across = rng.uniform(0.4, 1, (2, 14)).astype("float32")
    size = (24, 40)
    curves = []
    for low, high, values, limit in (
        (box[1], box[3] - 1, down, size[0]),
        (box[0], box[2] - 1, across, size[1]),
    ):
        middle, half = (low + high) / 2, (high - low) / 2 * 16 / 14
        first, last = int(middle - half), int(middle + half)
        pixels = np.arange(limit)
        place = np.clip((pixels - first + 0.5) * 16 / (last - first + 1) - 0.5, 0, 15)
        curve = smooth(place, values)
        curves.append(np.where((pixels >= first) & (pixels <= last), curve, 0))
    expected = np.outer(*curves)
    sure = np.abs(expected - 0.5) > 1e-5
    found = paste_mask(np.outer(down, across), box, size)
    np.testing.assert_array_equal(found[sure], (expected > 0.5)[sure])
    assert found.any() and not found.all()


def test_tiny_boxes_and_boxes_outside():
    one = np.ones((4, 4))
    assert paste_mask(one, [5, 6, 6, 7], (10, 10)).sum() == 1  # a pixel is a pixel
    assert paste_mask(one, [5, 6, 6, 7], (10, 10))[6, 5]
    for box in ([-30, 0, -20, 5], [12, 0, 20, 5], [0, 40, 5, 50]):
        assert not paste_mask(one, box, (10, 10)).any()
    assert paste_mask(one, [-50, -50, 60, 60], (10, 10)).all()
    assert not paste_mask(0 * one, [0, 0, 10, 10], (10, 10)).any()


def test_all_together_and_none():
    masks = np.stack([np.ones((2, 2)), np.zeros((2, 2))])
    found = paste_masks(masks, np.float32([[0, 0, 8, 8], [0, 0, 8, 8]]), (8, 8))
    assert found.shape == (2, 8, 8) and found[0].sum() > 30 and not found[1].any()
    assert paste_masks(np.zeros((0, 2, 2)), np.zeros((0, 4)), (8, 6)).shape == (0, 8, 6)


def test_run_lengths_come_back():
    mask = np.random.default_rng(1).random((17, 23)) > 0.5
    rle = encode_mask(mask)
    assert rle["size"] == [17, 23] and isinstance(rle["counts"], str)
    np.testing.assert_array_equal(mask_from_runs(runs_from_string(rle["counts"]), 17, 23), mask)


@pytest.mark.parametrize("round_shape", [True, False])
def test_a_drawn_target_pasted_is_the_object_again(round_shape):
    """What the mask head is taught and how its answers are read agree on every frame."""
    if round_shape:
        turn = np.arange(40) * 2 * np.pi / 40
        points = np.float32([60, 45]) + np.float32([30, 22]) * np.stack(
            [np.cos(turn), np.sin(turn)], 1
        )
    else:
        points = np.array([[20, 10], [90, 30], [70, 80], [55, 40]])
    points = points.astype("float32")
    flat = [points.astype(float).ravel().tolist()]
    mask = coco.decode(coco.merge(coco.frPyObjects(flat, 100, 120))).astype(bool)
    box = np.concatenate([points.min(0), points.max(0)])
    edges = np.hstack([points, np.roll(points, -1, 0)])[None, None]
    parts = np.zeros(edges.shape[:3], "int32")
    target = rasterize(edges, parts, np.zeros((1, 1), "int32"), box[None, None], 28)
    found = paste_mask(np.array(target)[0, 0], box, (100, 120))
    assert (found & mask).sum() / (found | mask).sum() > 0.93
