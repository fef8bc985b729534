import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco

from kdet.ops import polygons

MOST = 48


def as_edges(polygons):
    """Edges (MOST, 4) and parts (MOST,) of a list of (n, 2) polygons."""
    edges, parts = np.zeros((MOST, 4), "float32"), np.full(MOST, -1, "int32")
    closed = [np.hstack([p, np.roll(p, -1, axis=0)]) for p in polygons]
    count = sum(map(len, closed))
    edges[:count] = np.concatenate(closed)
    parts[:count] = np.repeat(np.arange(len(closed)), [len(p) for p in closed])
    return edges, parts


def star(rng, round_to=None):
    """A polygon around a point of the grid of 28; it may leave the grid."""
    count, radius = rng.integers(3, 20), rng.uniform(0.5, 40)
    angle = np.sort(rng.uniform(0, 2 * np.pi, count))
    away = radius * rng.uniform(0.4, 1, (count, 1))
    points = rng.uniform(0, 28, 2) + away * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (np.round(points * 2) / 2 if round_to else points).astype("float32")


@pytest.mark.parametrize("jit", [False, True])
def test_masks_are_those_of_coco(jit):
    rng = np.random.default_rng(0)
    objects = [[star(rng, k % 2) for _ in range(1 + k % 2)] for k in range(100)]
    edges, parts = map(np.stack, zip(*map(as_edges, objects)))
    run = tf.function(
        lambda e, p, m, r: polygons.rasterize(e, p, m, r, 28), jit_compile=jit, autograph=False
    )
    whole = np.tile(np.float32([0, 0, 29, 29]), (1, 100, 1))
    found = np.array(run(edges[None], parts[None], np.arange(100, dtype="int32")[None], whole))[0]
    for outline, mask in zip(objects, found):
        outlines = [p.astype("float64").ravel().tolist() for p in outline]
        expected = coco.decode(coco.merge(coco.frPyObjects(outlines, 28, 28)))
        np.testing.assert_array_equal(mask, expected)


def test_a_region_shows_its_part_of_its_object():
    left = np.array([[0, 0], [50, 0], [50, 100], [0, 100]], "float32")
    top = np.array([[0, 0], [100, 0], [100, 50], [0, 50]], "float32")
    edges, parts = map(np.stack, zip(as_edges([left]), as_edges([top])))
    regions = np.array([[[25, 25, 76, 76], [25, 25, 76, 76], [60, 0, 91, 31]]], "float32")
    match = np.array([[0, 1, 0]], "int32")
    found = np.array(polygons.rasterize(edges[None], parts[None], match, regions, 4))[0]
    half = np.array([1, 1, 0, 0], bool)
    np.testing.assert_array_equal(found[0], np.tile(half, (4, 1)))
    np.testing.assert_array_equal(found[1], np.tile(half[:, None], (1, 4)))
    assert not found[2].any()


def test_boxes_and_objects_of_regions():
    small = np.array([[10, 10], [20, 10], [20, 30]], "float32")
    big = np.array([[0, 0], [90, 0], [90, 90]], "float32")
    edges, parts = map(np.stack, zip(as_edges([small]), as_edges([big, small]), as_edges([small])))
    parts[2] = -1
    boxes = polygons.edge_boxes(edges[None], parts[None])
    assert np.array(boxes)[0].tolist() == [[10, 10, 21, 31], [0, 0, 91, 91], [0, 0, 0, 0]]
    regions = np.array([[[8, 8, 22, 30], [0, 0, 60, 80], [95, 95, 99, 99]]], "float32")
    present = np.array([[True, True, False]])
    assert np.array(polygons.best_object(regions, boxes, present))[0].tolist() == [0, 1, 0]
