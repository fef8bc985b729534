import numpy as np
import pytest

from kdet.ops import anchors

# inclusive corners of the cell at the origin, ratios .5, 1, 2 (the generator's own output)
TABLE = {
    (4, 32): [(-22, -10, 25, 13), (-14, -14, 17, 17), (-10, -22, 13, 25)],
    (8, 64): [(-40, -20, 47, 27), (-28, -28, 35, 35), (-20, -44, 27, 51)],
    (16, 32): [(-15, -4, 30, 19), (-8, -8, 23, 23), (-3, -14, 18, 29)],
    (16, 512): [(-360, -184, 375, 199), (-248, -248, 263, 263), (-168, -344, 183, 359)],
    (32, 256): [(-164, -76, 195, 107), (-112, -112, 143, 143), (-76, -168, 107, 199)],
    (64, 512): [(-332, -152, 395, 215), (-224, -224, 287, 287), (-148, -328, 211, 391)],
}


@pytest.mark.parametrize(("stride", "size"), TABLE)
def test_cell_equals_the_generator(stride, size):
    inclusive = anchors.cell_anchors(stride, (size,), (0.5, 1.0, 2.0)) - [0, 0, 1, 1]
    np.testing.assert_array_equal(inclusive, TABLE[stride, size])


def test_grid_runs_over_rows_then_columns_then_anchors():
    cell = np.array([[0, 0, 2, 2], [1, 1, 3, 3]], "float32")
    found = np.array(anchors.grid_anchors(2, 3, 8, cell)).reshape(2, 3, 2, 4)
    np.testing.assert_array_equal(found[1, 2, 0], [16, 8, 18, 10])
    np.testing.assert_array_equal(found[0, 1, 1], [9, 1, 11, 3])


def test_retina_pyramid_has_nine_anchors_per_cell():
    assert anchors.retina_pyramid((128, 256)).shape == (9 * (512 + 128 + 32 + 8 + 2), 4)


def test_retina_ratios_come_square_first():
    width, height = (np.array(anchors.retina_grid(1, 1, 8))[:, k] for k in (2, 3))
    width -= np.array(anchors.retina_grid(1, 1, 8))[:, 0]
    height -= np.array(anchors.retina_grid(1, 1, 8))[:, 1]
    assert width[0] == height[0] == 32
    assert (height[3:6] > width[3:6]).all() and (height[6:] < width[6:]).all()
