"""Outlines: what COCO's tools would draw, with as few edges as asked for."""

import json

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco

from kdet.config import Data
from kdet.data import Records, train_batches
from kdet.data.convert.example_proto import Object
from kdet.data.outlines import MOST_PARTS, mirror, outline
from kdet.errors import DataError
from kdet.masks import fill_outlines
from kdet.masks.rle import runs_from_mask
from kdet.ops import polygons as drawing

SIZE = 40


@tf.function(reduce_retracing=True)
def _drawn(edges, parts):
    region = np.float32([[[0, 0, SIZE + 1, SIZE + 1]]])
    return drawing.rasterize(edges, parts, np.zeros((1, 1), np.int32), region, SIZE)


def drawn(edges, parts):
    """The mask of edges on a whole image."""
    edges, parts = tf.constant(edges)[None, None], tf.constant(parts, tf.int32)[None, None]
    return _drawn(edges, parts).numpy()[0, 0]


def by_coco(edges, parts, low=0.0, scale=1.0, size=SIZE):
    """The mask that COCO's tools draw of polygons' edges, moved and scaled."""
    polygons = [(edges[parts == k, :2] - low) * scale for k in range(parts.max() + 1)]
    flat = [p.astype(float).ravel().tolist() for p in polygons]
    return coco.decode(coco.merge(coco.frPyObjects(flat, size, size))).astype(bool)


def blobs(seed):
    """(SIZE, SIZE) bool with several pieces and holes."""
    noise = np.random.default_rng(seed).random((8, 8, 1))
    return tf.image.resize(noise, (SIZE, SIZE), "bicubic").numpy()[..., 0] > 0.55


def overlap(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def circle(radius, points, centre=(20, 20)):
    turn = np.arange(points) * 2 * np.pi / points
    return np.float32(centre) + radius * np.stack([np.cos(turn), np.sin(turn)], 1).astype("float32")


@pytest.mark.parametrize("seed", range(3))
def test_enclosed_pixels_are_those_of_runs_and_of_polygons(seed):
    """What pictures show: run lengths exactly; of polygons, pixels whose centre is inside."""
    mask = blobs(seed)
    polygons = [circle(9.3, 40, (12, 14)), circle(6.2, 17, (17, 18)), circle(4.0, 5, (33, 5))]
    objects = [outline([], runs_from_mask(mask), SIZE, 400), outline(polygons, [], SIZE, 400)]
    edges, parts = np.zeros((2, 400, 4), np.float32), np.full((2, 400), -1)
    for k, (edge, part) in enumerate(objects):
        edges[k, : len(edge)], parts[k, : len(part)] = edge, part
    by_runs, by_polygons = fill_outlines(edges, parts, (SIZE, SIZE + 3))
    np.testing.assert_array_equal(by_runs, np.pad(mask, [(0, 0), (0, 3)]))
    y, x = np.mgrid[:SIZE, : SIZE + 3] + 0.5
    far = [np.hypot(x - cx, y - cy) for cx, cy in ((12, 14), (17, 18), (33, 5))]
    inner = (far[0] < 9.2) | (far[1] < 6.0) | (far[2] < 3.2)
    outer = (far[0] < 9.3) | (far[1] < 6.2) | (far[2] < 4.0)
    assert by_polygons[inner].all() and not by_polygons[~outer].any()
    assert not fill_outlines(edges, np.full_like(parts, -1), (SIZE, SIZE)).any()


def test_parts_fit_the_drawing():
    assert MOST_PARTS == drawing.MAX_PARTS


@pytest.mark.parametrize("seed", range(6))
def test_runs_come_back_pixel_for_pixel(seed):
    mask = blobs(seed)
    mask[:, seed] = True  # columns that touch the border and each other
    edges, parts = outline([], runs_from_mask(mask), SIZE, 10_000)
    np.testing.assert_array_equal(drawn(edges, parts), mask)
    assert (edges[:, 1] == edges[:, 3]).all() and not parts.any()


def test_a_rectangle_of_runs_has_two_edges():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[10:15, 20:30] = True
    edges, _ = outline([], runs_from_mask(mask), SIZE, 4)
    assert sorted(edges.tolist()) == [[20, 10, 30, 10], [20, 15, 30, 15]]
    mask[:] = True
    edges, _ = outline([], runs_from_mask(mask), SIZE, 4)
    assert sorted(edges.tolist()) == [[0, 0, SIZE, 0], [0, SIZE, SIZE, SIZE]]
    assert outline([], [SIZE * SIZE], SIZE, 4)[0].shape == (0, 4)
    assert outline([], [], SIZE, 4)[0].shape == (0, 4)


def test_thinned_runs_keep_their_shape_and_extent():
    y, x = np.mgrid[:SIZE, :SIZE]
    mask = (x - 19.5) ** 2 + (y - 19.5) ** 2 < 18**2
    for most, least in ((40, 0.93), (24, 0.88), (12, 0.8)):
        edges, parts = outline([], runs_from_mask(mask), SIZE, most)
        assert most / 2 <= len(edges) <= most
        assert overlap(drawn(edges, parts), mask) > least
        assert (edges[:, [0, 2]].min(), edges[:, [0, 2]].max()) == (2, 38)
    zebra = (y % 4 < 2) & (x < 30)
    edges, parts = outline([], runs_from_mask(zebra), SIZE, 8)
    assert len(edges) == 8  # the longest four stripes, of equal length, are left of ten
    assert overlap(drawn(edges, parts), zebra) == pytest.approx(0.4)


def test_polygons_are_those_of_coco():
    polygons = [circle(9, 20), circle(6, 11, (30, 30))]
    edges, parts = outline(polygons, [], SIZE, 31)
    np.testing.assert_array_equal(drawn(edges, parts), by_coco(edges, parts))
    assert parts.tolist() == [0] * 20 + [1] * 11


def test_thinned_polygons_keep_their_shape():
    full = drawn(*outline([circle(15, 400)], [], SIZE, 400))
    for most, least in ((64, 0.99), (16, 0.95), (8, 0.85)):
        edges, parts = outline([circle(15, 400)], [], SIZE, most)
        assert len(edges) == most
        assert overlap(drawn(edges, parts), full) > least
    # a point on a straight line is the first to go
    square = np.float32([[0, 0], [5, 0], [9, 0], [9, 9], [0, 9]])
    edges, _ = outline([square], [], SIZE, 4)
    assert edges.tolist() == [[0, 0, 9, 0], [9, 0, 9, 9], [9, 9, 0, 9], [0, 9, 0, 0]]
    # small parts go before the shape of large ones does
    many = [circle(15, 12), *(circle(0.2, 3, (k, 1)) for k in range(40))]
    edges, parts = outline(many, [], SIZE, 12)
    assert len(edges) == 12 and not parts.any()
    assert outline(many, [], SIZE, 10_000)[1].max() == MOST_PARTS - 1


def test_mirrored_outlines_are_outlines_of_the_mirrored_mask():
    mask = blobs(1)
    edges, parts = outline([], runs_from_mask(mask), SIZE, 10_000)
    flipped = mirror(tf.constant(edges)[None], float(SIZE)).numpy()[0]
    np.testing.assert_array_equal(drawn(flipped, parts), mask[:, ::-1])


@pytest.fixture
def records_of(tmp_path, write_folder, make_record):
    """Callable: objects -> the records of one image with them."""

    def write(objects):
        made = make_record(0, SIZE, SIZE, objects=tuple(objects))
        return Records.open(write_folder(tmp_path / "data", [made], shards=1))

    return write


def batches(records, **changes):
    facts = {
        "short_side": 80,
        "long_side": 80,
        "pad_to": 16,
        "flip": 0.0,
        "max_boxes": 5,
        "max_edges": 16,
    }
    dataset = train_batches(records, Data(**{**facts, **changes}), 1, 1, seed=3)
    return {k: v.numpy()[0] for k, v in next(records.iterate(dataset)).items()}


def test_batches_hold_the_outlines_of_their_boxes(records_of):
    square = (4.0, 4.0, 12.0, 4.0, 12.0, 20.0, 4.0, 20.0)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[5:9, 6:8] = True
    runs = tuple(runs_from_mask(mask))
    objects = [
        Object(1, 0, (30.0, 0.0, 5.0, 5.0), 25.0, 1, runs=runs),  # a crowd
        Object(2, 1, (50.0, 0.0, 5.0, 5.0), 25.0, polygons=(square,)),  # outside of the image
        Object(3, 2, (4.0, 4.0, 8.0, 16.0), 128.0, polygons=(square,)),
        Object(4, 0, (6.0, 5.0, 2.0, 4.0), 8.0, runs=runs),
    ]
    records = records_of(objects)
    batch = batches(records)
    assert batch["labels"].tolist() == [2, 0, 0, 0, 0] and batch["valid"].sum() == 2
    assert batch["mask_edges"].shape == (5, 16, 4) and batch["mask_edges"].dtype == np.float32
    assert (batch["mask_parts"] >= 0).sum(1).tolist() == [4, 2, 0, 0, 0]
    # pixels of the image as it was, though the batch's image is twice as large
    assert batch["mask_edges"][0, :2].tolist() == [[4, 4, 12, 4], [12, 4, 12, 20]]
    np.testing.assert_array_equal(drawn(batch["mask_edges"][1], batch["mask_parts"][1]), mask)
    mirrored = batches(records, flip=1.0)
    assert mirrored["mask_edges"][0, 0].tolist() == [SIZE - 4, 4, SIZE - 12, 4]
    assert mirrored["boxes"][0, 0] == 2 * (SIZE - 12)
    assert "mask_edges" not in batches(records, max_edges=0)


def test_objects_without_masks_are_named(records_of):
    records = records_of([Object(1, 0, (3.0, 0.0, 5.0, 5.0), 25.0)])
    with pytest.raises(DataError, match="^image 100 has objects without masks$"):
        batches(records)


def test_real_objects_keep_their_shape(shared):
    """COCO's own annotations at 96 edges, drawn in a box of 28 by 28 as the mask head sees it."""
    truth = json.loads(
        (shared / "datasets/coco_mini/annotations/instances_train2017.json").read_text()
    )
    found = []
    for annotation in truth["annotations"][:400]:
        if annotation["iscrowd"]:
            continue
        polygons = [np.float32(p).reshape(-1, 2) for p in annotation["segmentation"]]
        full, thin = (outline(polygons, [], 1, most) for most in (100_000, 96))
        x, y, w, h = annotation["bbox"]
        place = (np.float32([x, y]), 28 / np.maximum([w - 1, h - 1], 1), 28)
        found.append(overlap(by_coco(*full, *place), by_coco(*thin, *place)))
    assert np.mean(found) > 0.998 and min(found) > 0.9
