"""The index of a data set: where its records are, and how large their images are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdet.errors import DataError
from kdet.files import NPZ_ERRORS

_COLUMNS = ("shard", "offset", "length", "fingerprint", "height", "width", "image_id", "objects")


def read_index(path, count: int) -> dict[str, np.ndarray]:
    """The columns of index.npz, {name: (n,) integers}.

    Args:
        path: the file, see `kdet.data.places.place`.
        count: n, the number of records.
    Raises:
        DataError: the file is missing or damaged, or n is 0.
    """
    source = path if isinstance(path, Path) else path.open()
    try:
        with np.load(source, allow_pickle=False) as file:
            columns = {name: file[name] for name in _COLUMNS}
    except FileNotFoundError:
        raise DataError(f"{path}: file is missing") from None
    except NPZ_ERRORS as error:
        raise DataError(f"{path}: {type(error).__name__} {error}") from None
    for name, column in columns.items():
        if column.shape != (count,) or column.dtype.kind != "i":
            raise DataError(
                f"{path}: {name} must be {count} integers, got {column.dtype} {column.shape}"
            )
    if not count:
        raise DataError(f"{path.parent}: the data set has no records")
    return columns
