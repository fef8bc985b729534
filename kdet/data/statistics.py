"""Sizes and counts of the objects of a data set, from which settings are chosen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kdet.data.batch_plan import resized_shape
from kdet.data.decode import decode
from kdet.data.records import Records

MOST_RECORDS = 3000  # records to read; more would change the result little
MOST_EDGES = 256  # longer outlines count as this many


class Statistics(NamedTuple):
    """What the records of a data set hold. Crowds are not counted.

    Attributes:
        names: class names in label order.
        sizes: (n, 2) int32 h, w of every image.
        counts: (n,) objects of every image.
        boxes: (m, 4) float32 xyxy pixels of the stored image, of the objects that were read.
        labels: (m,) int32.
        box_sizes: (m, 2) int32 h, w of the image of each box.
        box_records: (m,) int64 record number of each box.
        edges: (m,) int64 edges of the outline of each box; all 0 where masks were not read.
    """

    names: tuple[str, ...]
    sizes: np.ndarray
    counts: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    box_sizes: np.ndarray
    box_records: np.ndarray
    edges: np.ndarray

    def resized(self, data) -> np.ndarray:
        """(m, 4) the boxes in pixels of the resized images; `data` is a `kdet.config.Data`."""
        scale, _, _ = resized_shape(self.box_sizes[:, 0], self.box_sizes[:, 1], data)
        y, x = scale if isinstance(scale, tuple) else (scale, scale)
        return (self.boxes * np.stack([x, y, x, y], axis=1)).astype(np.float32)

    def class_weights(self) -> np.ndarray:
        """(m,) weights of the boxes, with which all classes have the same sum; the sum is 1."""
        present, counts = np.unique(self.labels, return_counts=True)
        weight = dict(zip(present.tolist(), (1.0 / counts / len(present)).tolist()))
        return np.array([weight[label] for label in self.labels.tolist()])


def read_statistics(records: Records, most: int = MOST_RECORDS, masks: bool = False) -> Statistics:
    """Reads the objects of a data set. No image is decoded.

    Args:
        records: the data set.
        most: number of records to read at most, evenly spaced.
        masks: whether to read the outlines of the objects, too.
    Raises:
        DataError: a record is damaged, or an object has no outline although `masks`.
    """
    numbers = np.unique(np.linspace(0, len(records) - 1, min(most, len(records))).astype(np.int64))

    def objects(number, payload):
        example = decode(payload, MOST_EDGES if masks else 0, pixels=False)
        keep = ~example["crowd"]
        labels = example["labels"][keep]
        size = tf.repeat(example["original_size"][None], tf.size(labels), 0)
        edges = tf.zeros_like(labels, tf.int64)
        if masks:
            edges = tf.math.count_nonzero(example["mask_parts"][keep] >= 0, axis=1)
        return example["boxes"][keep], labels, size, tf.fill(tf.shape(labels), number), edges

    rows = records.iterate(records.scan(numbers, objects))
    parts = [[np.asarray(part) for part in row] for row in rows]
    columns = (np.concatenate(column) for column in zip(*parts))
    counts = np.asarray(records.index["objects"])
    return Statistics(records.labels.names, records.sizes, counts, *columns)
