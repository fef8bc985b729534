import numpy as np
import pytest

from kdet.interop import FORMAT, from_keras_cv, to_keras_cv
from kdet.ops import boxes as box_ops


@pytest.fixture
def batch():
    boxes = [[[1, 2, 30, 40], [5, 5, 20, 60]], [[0, 0, 8, 8], [0, 0, 0, 0]]]
    return {
        "image": np.zeros((2, 64, 64, 3), "float32"),
        "boxes": np.array(boxes, "float32"),
        "labels": np.array([[2, 0], [1, 0]], "int32"),
        "valid": np.array([[True, True], [True, False]]),
    }


def test_there_and_back(batch):
    theirs = to_keras_cv(batch)
    assert np.array(theirs["bounding_boxes"]["classes"]).tolist() == [[2, 0], [1, -1]]
    ours = from_keras_cv(theirs)
    for name, value in batch.items():
        np.testing.assert_array_equal(ours[name], value)


def test_keras_cv_means_the_same_boxes(batch):
    keras_cv = pytest.importorskip("keras_cv")
    theirs = to_keras_cv(batch)["bounding_boxes"]
    keras_cv.bounding_box.validate_format(theirs)
    corner = keras_cv.bounding_box.convert_format(theirs["boxes"], source=FORMAT, target="xywh")
    np.testing.assert_array_equal(corner[0, 0], [1, 2, 29, 38])
    a, b = batch["boxes"][0], batch["boxes"][0][::-1] + 3
    iou = keras_cv.bounding_box.compute_iou(a, b, bounding_box_format=FORMAT)
    np.testing.assert_allclose(iou, box_ops.iou(a, b), rtol=1e-5)
