"""Repeat factors of images, so that training sees rare classes more often."""

from __future__ import annotations

import numpy as np

from kdet.data.statistics import Statistics


def repeat_factors(statistics: Statistics, threshold: float) -> np.ndarray:
    """(n,) float64, how often each image occurs in an epoch; at least 1.

    A class that is in a share f of the images has the factor max(1, sqrt(threshold / f)). An image
    has the largest factor of its classes (Gupta et al. 2019, "LVIS", section 5).

    Args:
        statistics: of all images of the data set.
        threshold: classes in a smaller share of the images are repeated, e.g. 0.1.
    """
    factors = np.ones(len(statistics.sizes))
    pairs = np.unique(np.stack([statistics.box_records, statistics.labels], axis=1), axis=0)
    for label in np.unique(statistics.labels):
        images = pairs[pairs[:, 1] == label, 0]
        factor = max(1.0, (threshold / (len(images) / len(factors))) ** 0.5)
        factors[images] = np.maximum(factors[images], factor)
    return factors
