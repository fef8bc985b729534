import numpy as np
import pytest

from kdet.config import YOLOv3
from kdet.models.yolov3 import grid

ANCHORS = YOLOv3().anchors


def test_anchors_of_levels():
    assert grid.level_anchors(ANCHORS, "P3") == ((10, 13), (16, 30), (33, 23))
    assert grid.level_anchors(ANCHORS, "P5")[-1] == (373, 326)


@pytest.mark.parametrize(
    ("level", "first", "total"),
    [
        ("P5", (0, 0, 272.7951, 49.4798), 583589.54),
        ("P4", (2.454065, 0, 29.545935, 88.27171), 2342496.77),
        ("P3", (0.900242, 0, 15.099758, 22.485191), 9372371.40),
    ],
)
def test_boxes_equal_the_original_systems(level, first, total):
    """The same waves as in the loss tests; clipped to whole inclusive pixels, as it does."""
    stride, sizes = grid.STRIDES[level], np.array([[480, 640], [333, 500]])
    side = 320 // stride
    flat = np.arange(2 * 255 * side * side).reshape(2, 255, side, side)
    raw = (0.8 * np.sin(0.1 * flat)).astype("float32").transpose(0, 2, 3, 1)
    found = np.array(grid.decode_boxes(raw, grid.level_anchors(ANCHORS, level), stride))
    width, height = sizes[:, 1:], sizes[:, :1]
    found[..., ::2] *= width[..., None]
    found[..., 1::2] *= height[..., None]
    found[..., :2] = np.maximum(found[..., :2], 0)
    found[..., 2] = np.minimum(found[..., 2], width - 1)
    found[..., 3] = np.minimum(found[..., 3], height - 1)
    np.testing.assert_allclose(found[0, 0], first, rtol=1e-5, atol=1e-5)
    assert found.astype("float64").sum() == pytest.approx(total, rel=1e-6)
