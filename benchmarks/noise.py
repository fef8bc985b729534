"""Batches of noise for the detectors of kdet, as NumPy arrays. See `kdet.data.schema`."""

import numpy as np


def detection_batch(count, height, width):
    """The inputs of a detector: images of `height` x `width` without padding."""
    shape, size = (count, height, width, 3), [[height, width]] * count
    return {
        "image": np.random.default_rng(0).standard_normal(shape, np.float32),
        "resized_size": np.array(size, np.float32),
        "original_size": np.array(size, np.float32),
    }


def training_batch(count, height, width, edges):
    """A training batch with eight boxes in every image.

    Args:
        count, height, width: number and size of the images.
        edges: edges of an outline, for detectors with masks, or 0. An outline is its box.
    """
    corner = np.arange(8, dtype=np.float32)[:, None] / 16
    boxes = np.concatenate([corner, corner, corner + 0.3, corner + 0.4], 1)
    boxes *= np.array([width, height, width, height], np.float32)
    found = {
        **detection_batch(count, height, width),
        "image_id": np.arange(count, dtype=np.int64),
        "boxes": np.repeat(boxes[None], count, 0),
        "labels": np.repeat(np.arange(8, dtype=np.int32)[None], count, 0),
        "valid": np.ones((count, 8), bool),
        "sample_seed": np.arange(count, dtype=np.int32),
    }
    if edges:
        x1, y1, x2, y2 = boxes.T
        sides = [(x1, y1, x2, y1), (x2, y1, x2, y2), (x2, y2, x1, y2), (x1, y2, x1, y1)]
        rectangle = np.stack([np.stack(side, 1) for side in sides], 1)
        padded = np.pad(rectangle, [[0, 0], [0, edges - 4], [0, 0]])
        used = np.where(np.arange(edges) < 4, 0, -1).astype(np.int32)
        found["mask_edges"] = np.repeat(padded[None], count, 0)
        found["mask_parts"] = np.tile(used, (count, 8, 1))
    return found
