"""Views of images: what is drawn, and that boxes go where the pixels go."""

import numpy as np
import pytest
import tensorflow as tf

from kdet.config import Augment, ssd_augment, yolo_augment
from kdet.data.augment.resize import Window
from kdet.data.augment.view import View, draw_view, view_boxes
from kdet.errors import ConfigError

SIZE = (60, 80)
BOXES = np.array([[10, 20, 30, 50], [50, 5, 51, 6], [60, 30, 80, 60]], np.float32)


def views(augment, count=150, flip=0.0, boxes=BOXES, size=SIZE):
    @tf.function
    def draw(k):
        seed = tf.stack([tf.constant(0, tf.int64), k])
        return draw_view(tf.constant(size), tf.constant(boxes), augment, flip, seed)

    for k in range(count):
        rows, columns, mirrored = draw(tf.constant(k, tf.int64))
        yield View(Window(*map(int, rows)), Window(*map(int, columns)), bool(mirrored))


def overlap(box, view):
    x, y = view.columns.start - view.columns.offset, view.rows.start - view.rows.offset
    crop = np.array([x, y, x + view.columns.length, y + view.rows.length])
    sides = np.minimum(box[2:], crop[2:]) - np.maximum(box[:2], crop[:2])
    shared = np.prod(np.maximum(sides, 0))
    return shared / (np.prod(box[2:] - box[:2]) + np.prod(crop[2:] - crop[:2]) - shared)


def test_nothing_is_changed_by_default():
    for view in views(Augment(), 5):
        assert view == View(Window(0, 60, 0, 60), Window(0, 80, 0, 80), False)


def test_expand():
    """Half the images, frames up to four times, shapes kept, the image anywhere inside."""
    ratios = []
    for view in views(Augment(expand=0.5)):
        assert (view.rows.start, view.rows.size, view.columns.size) == (0, 60, 80)
        for window in (view.rows, view.columns):
            assert 0 <= window.offset <= window.length - window.size
        ratios.append(view.rows.length / 60)
        assert view.columns.length / 80 == pytest.approx(ratios[-1], abs=0.03)
    grown = [r for r in ratios if r > 1]
    assert 50 < len(grown) < 100 and max(ratios) <= 4 and 2.2 < np.mean(grown) < 2.8


@pytest.mark.parametrize("least", [0.1, 0.5, 0.9])
def test_a_crop_overlaps_a_box_enough_and_holds_a_center(least):
    whole = 0
    for view in views(Augment(crops=(least,))):
        if (view.rows.length, view.columns.length) == SIZE:
            whole += 1
            continue
        assert max(overlap(box, view) for box in BOXES) >= least - 1e-6
        assert view_boxes(tf.constant(BOXES), view)[1].numpy().any()
        for window, size in ((view.rows, 60), (view.columns, 80)):
            assert 0 <= window.start <= size - window.length and window.length >= 1
    assert whole >= 40  # the uncropped image is one of two offers, and the only one at 0.9


@pytest.mark.parametrize("clamps", [True, False])
def test_shapes_of_crops(clamps):
    """Areas .3 to 1 squared, aspects .5 to 2 in units of the image's own."""
    shapes = []
    for view in views(Augment(crops=(0.0,), crop_clamps=clamps), 200):
        high, wide = view.rows.length / 60, view.columns.length / 80
        if (high, wide) != (1, 1):
            shapes.append((np.sqrt(high * wide), wide / high))
    scale, aspect = np.transpose(shapes)
    assert scale.min() > 0.27 and scale.max() > 0.85
    assert 0.47 < aspect.min() < 0.7 and 1.4 < aspect.max() < 2.12


def test_images_without_boxes_are_not_cropped_but_mirrored():
    flips = [v.mirrored for v in views(ssd_augment(expand=0.0), 60, 0.5, np.zeros((0, 4), "f"))]
    assert 15 < sum(flips) < 45


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 3000), (4000, 3000)])
def test_extreme_sizes(size):
    box = np.array([[0, 0, 1, 1]], np.float32)
    for view in views(yolo_augment(), 30, 0.5, box, size):
        assert view.rows.length >= 1 and view.columns.length >= 1
        kept = view_boxes(tf.constant(box), view)[1].numpy()
        assert kept.all()


def test_boxes_by_hand():
    """A frame with the image at (5, 7), seen from (10, 20), 40 wide and 30 high, mirrored."""
    view = View(Window(20, 30, 7, 60), Window(10, 40, 5, 80), tf.constant(True))
    boxes, keep = view_boxes(tf.constant([[15.0, 18, 25, 23], [0, 0, 12, 30]]), view)
    # x: 15 + 5 - 10 = 10 to 20, mirrored 20 to 30; y: 18 + 7 - 20 = 5 to 10
    assert boxes[0].numpy().tolist() == [20, 5, 30, 10] and keep.numpy().tolist() == [True, True]
    assert boxes[1].numpy().tolist() == [33, 0, 40, 17]  # -5..7 and -13..17, clipped; center 1, 2
    outside = view_boxes(tf.constant([[0.0, 0, 9, 30]]), view)[1]  # center at -.5
    assert not outside.numpy().any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"brightness": 1.5},
        {"hue": -1.0},
        {"methods": ("bicubic",)},
        {"crop_scale": (0.5, 0.2)},
        {"crop_aspect": (1.5, 2.0)},
        {"contrast_about": "grey"},
        {"expand_ratio": 0.5},
    ],
)
def test_impossible_settings(wrong):
    with pytest.raises(ConfigError):
        Augment(**wrong)
