"""What the sheets show: pixels as they were, in RGB."""

import numpy as np
import pytest

from kdet.config import LabelMap, stretched
from kdet.train.pictures import training_sheet


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_a_red_image_looks_red(channels):
    data = stretched(64, channels=channels)
    red = np.array([255, 0, 0] if channels == "RGB" else [0, 0, 255])
    image = np.broadcast_to((red / 255 - data.mean) / data.std, (1, 64, 64, 3))
    batch = {
        "image": image,
        "resized_size": np.full((1, 2), 64.0),
        "boxes": np.zeros((1, 1, 4)),
        "labels": np.zeros((1, 1), int),
        "valid": np.zeros((1, 1), bool),
    }
    sheet = np.asarray(training_sheet(batch, data, LabelMap(("thing",), (1,))).convert("RGB"))
    middle = sheet[sheet.shape[0] // 2, sheet.shape[1] // 2]
    np.testing.assert_array_equal(middle, [255, 0, 0])
