"""Resized sizes, canvases and batch plans."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from plans import batch_plan

from kdet.config import Data
from kdet.data.batch_plan import batch_blocks, canvas_index, eval_plan, resized_shape
from kdet.errors import DataError

COCO = Data(pad_to=128)
SMALL = Data(short_side=32, long_side=48, pad_to=16)


def random_sizes(count, seed=0):
    return np.random.default_rng(seed).integers(20, 60, (count, 2))


# h, w -> scale, resized h, w; by hand: 800 / short unless round(scale * long) > 1333
FITS = [
    ((480, 640), 800 / 480, (800, 1067)),
    ((640, 480), 800 / 480, (1067, 800)),
    ((427, 640), 800 / 427, (800, 1199)),
    ((375, 1000), 1333 / 1000, (500, 1333)),
    ((1600, 800), 1333 / 1600, (1333, 666)),  # 666.5 rounds to even
    ((3000, 3000), 800 / 3000, (800, 800)),
    ((600, 1000), 800 / 600, (800, 1333)),  # 1333.3 rounds to 1333: not capped
    ((1, 5000), 1333 / 5000, (1, 1333)),  # never less than a pixel
]


@pytest.mark.parametrize("size, scale, resized", FITS)
def test_fit_by_hand_in_numpy_and_tensorflow(size, scale, resized):
    for xp, inputs in ((np, np.array(size)), (tf, tf.constant(size))):
        found = resized_shape(inputs[0], inputs[1], COCO, xp=xp)
        assert float(found[0]) == scale
        assert (int(found[1]), int(found[2])) == resized


def test_fit_agrees_in_numpy_and_tensorflow_on_many_sizes():
    height, width = np.random.default_rng(0).integers(1, 3000, (2, 100_000))
    ours = resized_shape(height, width, COCO)
    theirs = resized_shape(tf.constant(height), tf.constant(width), COCO, xp=tf)
    for a, b in zip(ours, theirs):
        np.testing.assert_array_equal(a, b)
    assert np.minimum(*ours[1:]).max() <= 800 and np.maximum(*ours[1:]).max() <= 1333
    assert (canvas_index(*ours[1:], COCO.canvas_sizes()) >= 0).all()


def test_canvas_index_takes_the_smallest_that_holds():
    canvases = ((32, 48), (48, 32), (64, 64))
    height, width = np.array([[32, 48], [33, 30], [10, 10], [50, 50], [65, 1]]).T
    wanted = [0, 1, 0, 2, -1]
    assert canvas_index(height, width, canvases).tolist() == wanted
    traced = canvas_index(tf.constant(height), tf.constant(width), canvases, xp=tf)
    assert traced.numpy().tolist() == wanted


def test_the_plan_by_hand():
    """Two canvases, batch 2: images join their queue in order; a full queue is a batch."""
    sizes = np.array([(32, 48), (48, 32), (32, 48), (48, 32), (32, 48)])
    canvases = ((32, 48), (48, 32))
    records, canvas = batch_plan(sizes, canvases, SMALL, 2, 12, seed=3)
    wide = [r for row, c in zip(records, canvas) if c == 0 for r in row]
    tall = [r for row, c in zip(records, canvas) if c == 1 for r in row]
    assert set(wide) == {0, 2, 4} and set(tall) == {1, 3}
    for queue, size in ((wide, 3), (tall, 2)):  # each epoch's share is a permutation
        for start in range(0, len(queue) - size + 1, size):
            assert len(set(queue[start : start + size])) == size
    # per epoch the queues gain 3 and 2 images: 1, 2, 1, 2, ... wide batches and 1 tall one
    assert canvas[:5].tolist().count(1) in (1, 2, 3) and len(wide) > len(tall)


def test_every_image_is_used_once_per_epoch_up_to_the_queues():
    sizes, batch, epochs = random_sizes(103), 8, 20
    canvases = SMALL.canvas_sizes()
    records, canvas = batch_plan(sizes, canvases, SMALL, batch, 103 * epochs // batch, 0)
    times = np.bincount(records.ravel(), minlength=103)
    # At most batch - 1 images per canvas wait; an image waits at most once at a time.
    assert times.sum() == 103 * epochs // batch * batch
    assert times.max() <= epochs + 1 and times.min() >= epochs - 1
    _, height, width = resized_shape(*sizes.T, SMALL)
    for row, c in zip(records, canvas):
        assert (canvas_index(height[row], width[row], canvases) == c).all()


def test_epochs_differ_and_each_is_a_permutation():
    sizes = np.full((16, 2), 32)
    records, _ = batch_plan(sizes, SMALL.canvas_sizes(), SMALL, 4, 12, 0)
    epochs = records.reshape(3, 16)
    assert (np.sort(epochs) == np.arange(16)).all()
    assert len({tuple(e) for e in epochs.tolist()}) == 3


def test_the_plan_is_a_function_of_its_arguments():
    sizes, canvases = random_sizes(57), SMALL.canvas_sizes()
    records, canvas = batch_plan(sizes, canvases, SMALL, 4, 200, 5)
    again = batch_plan(sizes, canvases, SMALL, 4, 200, 5)
    np.testing.assert_array_equal(records, again[0])
    shorter = batch_plan(sizes, canvases, SMALL, 4, 31, 5)
    np.testing.assert_array_equal(records[:31], shorter[0])
    np.testing.assert_array_equal(canvas[:31], shorter[1])
    assert (records != batch_plan(sizes, canvases, SMALL, 4, 200, 6)[0]).any()
    # Fixed for ever: a run must go on with the same order after an upgrade.
    plain = batch_plan(np.full((8, 2), 32), canvases, SMALL, 8, 1, 0)[0]
    assert plain.tolist() == [[0, 2, 1, 5, 4, 3, 6, 7]]


def test_a_long_plan_is_made_in_pieces():
    """The first batches of a long run on a large data set need neither time nor memory for all."""
    sizes = np.full((120_000, 2), 32)
    tracemalloc.start()
    blocks = batch_blocks(sizes, SMALL.canvas_sizes(), SMALL, 64, 500_200, 0)
    made = [len(next(blocks)[1]) for _ in range(3)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made == [1875, 1875, 1875] and peak < 40e6


def test_fewer_images_than_the_batch():
    records, _ = batch_plan(np.array([[32, 32], [48, 32]]), SMALL.canvas_sizes(), SMALL, 8, 6, 0)
    assert records.shape == (6, 8)


def test_eval_plan_has_each_image_once_and_marks_the_rest():
    sizes, canvases = random_sizes(41), SMALL.canvas_sizes()
    records, canvas, real = eval_plan(sizes, canvases, SMALL, 4)
    assert sorted(records[real].tolist()) == list(range(41))
    assert (~real).sum() == sum(-n % 4 for n in np.bincount(canvases_per(sizes), minlength=4))
    assert (np.diff(canvas) >= 0).all() and real[:, 0].all()
    _, height, width = resized_shape(*sizes[records.ravel()].T, SMALL)
    found = canvas_index(height, width, canvases).reshape(records.shape)
    assert (found == canvas[:, None]).all()


def canvases_per(sizes):
    _, height, width = resized_shape(*sizes.T, SMALL)
    return canvas_index(height, width, SMALL.canvas_sizes())


def test_errors_are_one_line():
    with pytest.raises(DataError, match="record 1: expected a canvas of at least 48 x 32 pixels"):
        batch_plan(np.array([[32, 32], [48, 32]]), ((32, 48),), SMALL, 1, 1, 0)
    with pytest.raises(DataError, match="got 0 records"):
        batch_plan(np.zeros((0, 2)), SMALL.canvas_sizes(), SMALL, 1, 1, 0)
    with pytest.raises(DataError, match="batch 0"):
        eval_plan(np.array([[32, 32]]), SMALL.canvas_sizes(), SMALL, 0)
