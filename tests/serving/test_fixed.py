"""The one canvas of an exported file."""

import pytest

from kdet.config import coco_data, stretched_data
from kdet.data.batch_plan import canvas_index, resized_shape
from kdet.errors import ConfigError
from kdet.serving.fixed import fixed_data


@pytest.mark.parametrize(
    ("data", "size", "canvas"),
    [
        (coco_data(), None, (1344, 1344)),
        (coco_data(pad_to=1), None, (1344, 1344)),
        (coco_data(), (320, 320), (320, 320)),
        (stretched_data(300), None, (300, 300)),
        (stretched_data(608), (320, 320), (320, 320)),
    ],
)
def test_images_of_every_shape_fit(data, size, canvas):
    found = fixed_data(data, size)
    assert found.canvas_sizes() == (canvas,)
    for shape in ((480, 640), (640, 480), (100, 1000), (2000, 30), (7, 7)):
        _, height, width = resized_shape(*shape, found)
        assert canvas_index(height, width, found.canvas_sizes()) == 0
        if size is None:  # as the detector resizes them
            assert (height, width) == resized_shape(*shape, data)[1:]


def test_a_canvas_of_one_orientation():
    found = fixed_data(coco_data(), (320, 448))
    for shape, fits in (((480, 640), True), ((640, 480), False)):
        _, height, width = resized_shape(*shape, found)
        assert (canvas_index(height, width, found.canvas_sizes()) == 0) == fits


@pytest.mark.parametrize(
    ("data", "size"), [(coco_data(), (300, 300)), (stretched_data(300), (300, 320))]
)
def test_sizes_that_are_not_possible(data, size):
    with pytest.raises(ConfigError, match="multiples of 32|square"):
        fixed_data(data, size)
