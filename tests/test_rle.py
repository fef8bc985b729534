import numpy as np
import pytest

from kdet.masks.rle import mask_from_runs, runs_from_mask, runs_from_string


def test_runs_go_down_the_columns():
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    assert runs_from_mask(mask) == [2, 1, 1, 2]
    assert runs_from_mask(~mask) == [0, 2, 1, 1, 2]
    np.testing.assert_array_equal(mask_from_runs([2, 1, 1, 2], 2, 3), mask)


@pytest.mark.parametrize("seed", range(5))
def test_strings_are_read_as_pycocotools_does(seed):
    from pycocotools import mask as coco_mask

    rng = np.random.default_rng(seed)
    mask = np.repeat(np.repeat(rng.random((7, 9)) < 0.5, 11, 0), 1 + 40 * (seed % 2), 1)
    runs = runs_from_string(coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode())
    assert runs == runs_from_mask(mask)
    np.testing.assert_array_equal(mask_from_runs(runs, *mask.shape), mask)


@pytest.mark.parametrize("text", ["1 2", "P", "é"])
def test_broken_strings(text):
    with pytest.raises(ValueError, match="compressed mask"):
        runs_from_string(text)
