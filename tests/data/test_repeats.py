"""Images with rare classes are used more often."""

import numpy as np
import pytest
from plans import batch_plan

from kdet.config import Data
from kdet.data import train_batches
from kdet.data.convert.synthetic import make_synthetic
from kdet.data.records import Records
from kdet.data.repeats import repeat_factors
from kdet.data.statistics import Statistics, read_statistics

DATA = Data(short_side=64, long_side=64, canvases=((64, 64),))


def test_factors_by_hand():
    """Class 0 is in 8 of 8 images, class 1 in 2 of 8: sqrt(0.5 / 0.25) = 1.414."""
    sizes = np.full((8, 2), 64, np.int32)
    box_records = np.array([*range(8), 3, 3, 5])
    labels = np.array([0] * 8 + [1] * 3, np.int32)
    boxes = np.zeros((11, 4), np.float32)
    found = Statistics(("a", "b"), sizes, np.ones(8), boxes, labels, sizes[:1], box_records, 0)
    factors = repeat_factors(found, 0.5)
    assert factors == pytest.approx([1, 1, 1, 2**0.5, 1, 2**0.5, 1, 1])
    assert (repeat_factors(found, 0.2) == 1).all()


def test_a_plan_repeats_as_often_as_the_factors_say():
    """A factor of 2.5 is two or three times per epoch, and the start of a plan does not change."""
    sizes, factors = np.full((10, 2), 64), np.ones(10)
    factors[4] = 2.5
    plan, _ = batch_plan(sizes, ((64, 64),), DATA, 1, 4000, 3, factors)
    counts = np.bincount(plan[:, 0], minlength=10)
    others = np.delete(counts, 4)
    assert counts[4] / others.mean() == pytest.approx(2.5, rel=0.03)
    assert others.max() - others.min() <= 1
    start, _ = batch_plan(sizes, ((64, 64),), DATA, 1, 40, 3, factors)
    np.testing.assert_array_equal(start, plan[:40])
    same, _ = batch_plan(sizes, ((64, 64),), DATA, 2, 20, 3, np.ones(10))
    once, _ = batch_plan(sizes, ((64, 64),), DATA, 2, 20, 3)
    assert sorted(same[:5].ravel()) == sorted(once[:5].ravel()) == list(range(10))


def test_training_uses_the_factors(tmp_path):
    make_synthetic(tmp_path, 12, 0, (64, 64))
    records = Records.open(tmp_path)
    factors = repeat_factors(read_statistics(records), 4.0)
    assert factors.min() >= 2  # every class is in less than all images
    data = Data(short_side=64, long_side=64, canvases=((64, 64),), repeat_threshold=4.0)
    batches = train_batches(records, data, 4, 6, seed=0)
    ids = np.concatenate([batch["image_id"] for batch in batches])
    assert len(set(ids[:12].tolist())) < 12  # an epoch has at least 24 images
