"""A whole training plan in one piece, as the tests look at it."""

import numpy as np

from kdet.data.batch_plan import batch_blocks


def batch_plan(*arguments, **more):
    """records (steps, batch) and canvas (steps,) of `batch_blocks`."""
    first, records, canvas = zip(*batch_blocks(*arguments, **more))
    assert list(first) == np.cumsum([0, *map(len, records)])[:-1].tolist()
    return np.concatenate(records), np.concatenate(canvas)
