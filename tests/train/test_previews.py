"""What the sheets show: pixels as they were, in RGB."""

import numpy as np
import pytest
import tensorflow as tf

from kdet.config import LabelMap, stretched_data
from kdet.data.convert.example_proto import Object, Record, serialize_example
from kdet.detections import Detections
from kdet.train import previews
from kdet.train import previews as pictures
from kdet.train.previews import prediction_sheet, training_sheet


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_a_red_image_looks_red(channels, pixels):
    data = stretched_data(64, channels=channels)
    red = np.array([255, 0, 0] if channels == "RGB" or pixels else [0, 0, 255], np.uint8)
    red = red if pixels else (red / 255 - data.mean) / data.std
    image = np.broadcast_to(red, (1, 64, 64, 3))
    batch = {
        "image": image,
        "resized_size": np.full((1, 2), 64.0),
        "original_size": np.full((1, 2), 64.0),
        "boxes": np.zeros((1, 1, 4)),
        "labels": np.zeros((1, 1), int),
        "valid": np.zeros((1, 1), bool),
    }
    sheet = np.asarray(training_sheet(batch, data, LabelMap(("thing",), (1,))).convert("RGB"))
    middle = sheet[sheet.shape[0] // 2, sheet.shape[1] // 2]
    np.testing.assert_array_equal(middle, [255, 0, 0])


def drawn_masks(monkeypatch):
    """A list that takes the masks of every picture drawn from now on."""
    seen, draw = [], previews.draw_boxes

    def spy(*args, **facts):
        image = draw(*args, **facts)
        seen.append(facts["masks"] if "masks" in facts else args[5] if len(args) > 5 else None)
        return image

    monkeypatch.setattr(pictures, "draw_boxes", spy)
    return seen


def test_masks_of_the_truth_are_drawn(monkeypatch):
    """A square of 40 pixels in an image of 160, shown at 80."""
    data = stretched_data(80)
    image = np.broadcast_to((0 - np.array(data.mean)) / data.std, (1, 80, 80, 3))
    edges = np.zeros((1, 1, 6, 4), np.float32)
    edges[0, 0, :2] = [[40, 40, 80, 40], [40, 80, 80, 80]]
    batch = {
        "image": image,
        "resized_size": np.full((1, 2), 80.0),
        "original_size": np.full((1, 2), 160.0),
        "boxes": np.array([[[20.0, 20, 40, 40]]]),
        "labels": np.zeros((1, 1), int),
        "valid": np.ones((1, 1), bool),
        "mask_edges": edges,
        "mask_parts": np.array([[[0, 0, -1, -1, -1, -1]]]),
    }
    seen = drawn_masks(monkeypatch)
    training_sheet(batch, data, LabelMap(("thing",), (1,)))
    expected = np.zeros((1, 80, 80), bool)
    expected[0, 20:40, 20:40] = True
    np.testing.assert_array_equal(seen[0], expected)


class Records(list):
    """Some payloads and their numbers of objects as `kdet.data.Records`."""

    labels = LabelMap(("thing",), (1,))

    @property
    def index(self):
        return {"objects": np.array([objects for _, objects in self])}

    def read(self, number):
        return self[number][0]


class Detector:
    """Finds one box in every image, and remembers the images."""

    class config:
        mask = True

    def __init__(self):
        self.seen = []

    def detect(self, images, threshold):
        self.seen += images
        return [Detections([[5, 5, 25, 25]], [0.9], [0], ("thing",), images[0])]


def record(objects, grey=0):
    """A record of 40x50 pixels with one grey level, and its number of objects."""
    png = tf.io.encode_png(np.full((40, 50, 3), grey, np.uint8)).numpy()
    return serialize_example(Record(png, 1, "1.png", 40, 50, objects)), len(objects)


def thing(polygons=()):
    """An object of 20x20 pixels."""
    return Object(1, 0, (5.0, 5.0, 20.0, 20.0), 400.0, polygons=polygons)


@pytest.mark.parametrize("masked", [True, False])
def test_predictions_beside_truth(masked, monkeypatch):
    """Truth shows masks where the detector has them and the record does."""
    square = (5.0, 5.0, 25.0, 5.0, 25.0, 25.0, 5.0, 25.0)
    seen = drawn_masks(monkeypatch)
    prediction_sheet(Detector(), Records([record((thing((square,) if masked else ()),))]))
    assert len(seen) == 2 and seen[1] is None
    assert (seen[0] is not None) == masked
    if masked:
        assert seen[0][0, 5:25, 5:25].all() and seen[0].sum() == 400


@pytest.mark.parametrize("most, expected", [(2, [1, 3]), (4, [1, 3, 4, 0]), (9, [1, 3, 4, 0, 2])])
def test_images_with_objects_are_shown_first(most, expected):
    """The grey level is the number of the record; records 0 and 2 are empty."""
    records = Records(record((thing(),) if k in (1, 3, 4) else (), k) for k in range(5))
    detector = Detector()
    prediction_sheet(detector, records, most)
    assert [int(image[0, 0, 0]) for image in detector.seen] == expected
