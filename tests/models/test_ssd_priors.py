import numpy as np

from kdet.config import SSD
from kdet.models.ssd import priors


def test_priors_of_the_published_row():
    """Rows printed by the original system."""
    maps = priors.map_sizes((300, 300))
    assert [side for side, _ in maps] == [19, 10, 5, 3, 2, 1]
    found = np.array(priors.prior_boxes(maps, (300, 300), SSD().prior_sizes))
    assert found.shape == (1917, 4)
    expected = {
        0: (-0.073684, -0.073684, 0.126316, 0.126316),
        1: (-0.115106, -0.044395, 0.167737, 0.097026),
        1083: (-0.125, -0.125, 0.225, 0.225),
        1088: (-0.159165, -0.159165, 0.259165, 0.259165),
        1916: (0.01266, 0.01266, 0.98734, 0.98734),
    }
    for row, box in expected.items():
        np.testing.assert_allclose(found[row], box, atol=1e-6)


def test_priors_of_an_oblong_image():
    """Steps follow each side; sizes stay pixels, so fractions differ."""
    found = np.array(priors.prior_boxes(((1, 2),), (100, 200), (60, 105)))
    assert found.shape == (6, 4)
    np.testing.assert_allclose(
        found[3], [0.75 - 0.15, 0.5 - 0.3, 0.75 + 0.15, 0.5 + 0.3], rtol=1e-5
    )
