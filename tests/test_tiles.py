"""Large images in tiles: where the tiles lie, and that every object is found once and whole."""

import numpy as np
import pytest
from eye import SCALED, Eye, scene

from kdet.config import Data, stretched_data
from kdet.data.batch_plan import resized_shape
from kdet.errors import ConfigError
from kdet.masks import paste_mask
from kdet.predict import detect
from kdet.predict.tiles import merged, tile_size, windows


def places(found):
    return sorted(map(tuple, found.boxes.astype(int).tolist()))


def test_where_the_tiles_lie():
    def spans(length, tile, overlap):
        return windows((tile, length), SCALED, tile, overlap, whole=False)[:, ::2].tolist()

    assert spans(250, 100, 0.2) == [[0, 100], [75, 175], [150, 250]]
    assert spans(180, 100, 0.2) == [[0, 100], [80, 180]]
    assert spans(181, 100, 0.2) == [[0, 100], [40, 140], [81, 181]]
    assert spans(100, 100, 0.2) == [[0, 100]]
    for length in range(101, 700, 7):
        found = np.array(spans(length, 100, 0.3))
        assert (found[:-1, 1] - found[1:, 0] >= 30).all() and found[-1, 1] == length
    areas = windows((90, 150), SCALED, (60, 100), 0.0)
    assert areas.tolist() == [
        *([0, 0, 100, 60], [50, 0, 150, 60], [0, 30, 100, 90], [50, 30, 150, 90]),
        [0, 0, 150, 90],
    ]


def test_the_default_tile_is_not_reduced():
    data = Data(short_side=80, long_side=130)
    assert tile_size((500, 600), data) == (80, 130)
    assert tile_size((600, 500), data) == (130, 80)
    assert tile_size((500, 600), stretched_data(30)) == (30, 30)
    for size in ((500, 600), (90, 100), (70, 400), (400, 30), (81, 80)):
        for x1, y1, x2, y2 in windows(size, data, True, whole=False):
            assert resized_shape(y2 - y1, x2 - x1, data)[0] >= 1
    for size in ((80, 130), (130, 80), (50, 130), (10, 10)):
        assert windows(size, data, True).tolist() == [[0, 0, size[1], size[0]]]


@pytest.mark.parametrize(
    ("what", "box"),
    [
        ("inside of one tile", (10, 10, 30, 22)),
        ("in the overlap of two tiles", (50, 20, 58, 30)),
        ("cut by one tile, whole in another", (45, 20, 60, 30)),
        ("cut by two tiles", (20, 20, 100, 30)),
        ("cut by three tiles", (20, 20, 150, 30)),
        ("cut by four tiles at a corner", (30, 33, 90, 85)),
        ("larger than a tile", (3, 3, 190, 140)),
        ("the whole image", (0, 0, 200, 150)),
    ],
)
def test_an_object_is_found_once_and_whole(what, box):
    image = scene((150, 200), [box])
    found = detect(Eye(), image, tiles=True, whole=False)[0]
    assert places(found) == [box], what
    assert places(detect(Eye(), image, tiles=64, overlap=0.5, whole=False)[0]) == [box]


@pytest.mark.parametrize("seed", range(6))
def test_many_objects_are_found_once_and_whole(seed):
    """One in each cell of 50 pixels, of any size."""
    rng = np.random.default_rng(seed)
    boxes = []
    for y, x in np.ndindex(5, 6):
        sides = rng.integers(3, 49, 2)
        x1, y1 = (50 * x, 50 * y) + rng.integers(0, 50 - sides)
        boxes.append((x1, y1, x1 + sides[0], y1 + sides[1]))
    found = detect(Eye(), scene((250, 300), boxes), tiles=True, whole=False)[0]
    assert places(found) == sorted(boxes)
    assert (np.diff(found.scores) <= 0).all()


def test_an_image_of_one_tile_is_seen_once():
    eye, image = Eye(), scene((60, 64), [(3, 4, 20, 30)])
    found = detect(eye, image, tiles=True)[0]
    assert len(eye.batches) == 1 and places(found) == [(3, 4, 20, 30)]


def test_tiles_share_calls():
    eye = Eye()
    detect(eye, np.zeros((64, 268, 3), np.uint8), tiles=True)  # 5 tiles and the whole image
    assert eye.batches == [(4, 64, 64), (2, 64, 64)]
    eye.batches.clear()
    detect(eye, np.zeros((64, 268, 3), np.uint8), tiles=True, whole=False, batch=1)
    assert eye.batches == [(1, 64, 64)] * 5


def view(*rows):
    boxes, scores, labels = zip(*rows) if rows else ((), (), ())
    return {
        "boxes": np.reshape(boxes, (-1, 4)).astype(np.float32),
        "scores": np.float32(scores),
        "labels": np.int32(labels),
    }


TWO = np.array([[0, 0, 100, 100], [80, 0, 180, 100], [0, 0, 180, 100]])


def test_what_the_whole_image_shows_replaces_its_parts():
    """The score is the best of the parts: a part that is sure makes the object sure."""
    parts = view(((10, 10, 100, 90), 0.8, 0)), view(((0, 10, 60, 90), 0.7, 0))
    found, _ = merged([*parts, view(((12, 8, 138, 92), 0.3, 0))], TWO, 0.5)
    assert found["boxes"].tolist() == [[12, 8, 138, 92]]
    assert found["scores"].tolist() == pytest.approx([0.8])


def test_classes_and_neighbours_stay_apart():
    """Another class, a smaller object inside, and cut objects that share too little."""
    first = view(((10, 10, 100, 90), 0.8, 0), ((30, 30, 50, 50), 0.6, 0))
    second = view(((0, 10, 60, 90), 0.7, 1), ((0, 85, 60, 95), 0.5, 0))
    found, _ = merged([first, second, view()], TWO, 0.5)
    assert found["boxes"].tolist() == [
        *([10, 10, 100, 90], [80, 10, 140, 90], [30, 30, 50, 50], [80, 85, 140, 95]),
    ]
    assert found["labels"].tolist() == [0, 1, 0, 0]


def test_boxes_of_one_view_are_left_to_the_detector():
    """Its own rules, for example about the least overlap in pixels, have kept both."""
    both = view(((10, 10, 50, 50), 0.8, 0), ((10, 10, 50, 52), 0.7, 0))
    found, _ = merged([both, view(), view()], TWO, 0.5)
    assert found["scores"].tolist() == pytest.approx([0.8, 0.7])


def test_a_cut_box_goes_where_a_neighbour_sees_all_of_it():
    """Even if the neighbour, who knows more, does not take it for an object."""
    cut, whole = view(((90, 40, 100, 60), 0.9, 0)), view(((5, 40, 15, 60), 0.6, 0))
    found, _ = merged([cut, view(), view()], TWO, 0.5)
    assert not len(found["scores"])
    found, _ = merged([view(), whole, view()], TWO, 0.5)
    assert found["boxes"].tolist() == [[85, 40, 95, 60]]


def test_boxes_in_the_padding_end_at_inner_borders_only():
    found, _ = merged([view(((-4, 10, 130, 30), 0.9, 0)), view(), view()], TWO, 0.5)
    assert found["boxes"].tolist() == [[-4, 10, 100, 30]]


def test_masks_move_and_join():
    eye = Eye()
    eye.masks = True
    boxes = [(70, 10, 90, 30), (20, 60, 100, 100)]
    found = detect(eye, scene((150, 200), boxes), tiles=True, whole=False)[0]
    assert found.boxes.tolist() == [list(boxes[1]), list(boxes[0])]
    expected = paste_mask(np.ones((8, 8)), boxes[0], (150, 200))
    np.testing.assert_array_equal(found.masks[1], expected)
    for mask, (x1, y1, x2, y2) in zip(found.masks, (boxes[1], boxes[0])):
        y, x = np.nonzero(mask)
        np.testing.assert_allclose(
            [x.min(), y.min(), x.max() + 1, y.max() + 1], (x1, y1, x2, y2), atol=1
        )
        assert mask[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tiles": 8}, "tiles: expected a size of at least 32 pixels, got 8"),
        ({"tiles": 1}, "tiles: expected a size"),
        ({"tiles": (64, 64, 3)}, "tiles: expected a size"),
        ({"tiles": 64.5}, "tiles: expected a size"),
        ({"tiles": True, "overlap": 1.0}, "overlap: expected a share of 0 to 0.9, got 1.0"),
        ({"tiles": True, "overlap": float("nan")}, "overlap: expected a share"),
        ({"batch": 0}, "batch: expected at least 1 image per call, got 0"),
    ],
)
def test_what_is_not_possible_is_said(options, said):
    with pytest.raises(ConfigError) as error:
        detect(Eye(), np.zeros((99, 99, 3), np.uint8), **options)
    assert str(error.value).startswith(said)
