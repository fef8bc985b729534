"""How well anchors cover the objects of a data set, and a search for anchors that cover them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

COVERED = 0.5  # IoU from which a box counts as covered by an anchor
MOST_BOXES = 250  # boxes to compare with every anchor
SCALES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)


class Objects(NamedTuple):
    """Objects on resized images, to which anchors are fitted.

    Attributes:
        boxes: (m, 4) float32 xyxy pixels.
        weights: (m,) weights whose sum is 1; every class has the same share.
        canvas: (h, w) of the image that the anchors are made for.
    """

    boxes: np.ndarray
    weights: np.ndarray
    canvas: tuple[int, int]

    @classmethod
    def of(cls, statistics, data) -> Objects:
        """The objects of a `kdet.data.statistics.Statistics` under a `kdet.config.Data`."""
        boxes, weights = statistics.resized(data), statistics.class_weights()
        if len(boxes) > MOST_BOXES:
            # drawn by weight, so that rare classes are present, with a fixed seed
            chosen = np.random.default_rng(0).choice(len(boxes), MOST_BOXES, p=weights)
            boxes, weights = boxes[chosen], np.full(MOST_BOXES, 1 / MOST_BOXES)
        return cls(boxes, weights, data.canvas_sizes()[-1])

    @property
    def shapes(self) -> np.ndarray:
        """(m, 2) widths and heights."""
        return self.boxes[:, 2:] - self.boxes[:, :2]

    def covered(self, best) -> float:
        """The share of objects, classes counted equally, whose best IoU is at least 0.5."""
        return float(self.weights[best >= COVERED].sum())

    def score(self, best) -> float:
        """What a search maximises: the share of covered objects, and how nearly others are covered.

        Both parts are 0..1. The second one is the mean of best IoU / 0.5, at most 1 per object.
        """
        return self.covered(best) + float(self.weights @ np.minimum(best / COVERED, 1.0))

    def describe(self, best) -> str:
        """The quality of anchors as text: the mean of `best`, and the share of covered objects."""
        mean = float(self.weights @ best)
        return f"mean best IoU {mean:.2f}, at least 0.5 for {self.covered(best):.0%} of the objects"


def best_iou(anchors, boxes) -> np.ndarray:
    """(m,) the largest IoU of each box with any anchor; (A, 4) and (m, 4) xyxy of one unit."""
    anchors = np.asarray(anchors, np.float32)
    area = np.prod(anchors[:, 2:] - anchors[:, :2], axis=1)
    best = np.zeros(len(boxes), np.float32)
    for k, (x1, y1, x2, y2) in enumerate(np.asarray(boxes, np.float32)):
        width = np.minimum(anchors[:, 2], x2) - np.maximum(anchors[:, 0], x1)
        height = np.minimum(anchors[:, 3], y2) - np.maximum(anchors[:, 1], y1)
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        best[k] = np.max(shared / (area + (x2 - x1) * (y2 - y1) - shared))
    return best


def best_shape_iou(shapes, boxes_shapes) -> np.ndarray:
    """(m,) the largest IoU of each (width, height) with any of `shapes`, on a common centre."""
    return _shape_ious(boxes_shapes, shapes).max(axis=1)


def k_means(shapes, weights, count: int, rounds: int = 100) -> np.ndarray:
    """Anchor shapes by k-means with the distance 1 - IoU (Redmon and Farhadi 2016, YOLO9000).

    Args:
        shapes: (m, 2) widths and heights.
        weights: (m,) weights.
        count: number of clusters.
        rounds: largest number of iterations.
    Returns:
        (count, 2) float64, by area. The start is spread over the areas, so there is no chance.
    """
    shapes = np.maximum(np.asarray(shapes, np.float64), 1.0)
    order = np.argsort(shapes.prod(axis=1), kind="stable")
    place = np.cumsum(np.asarray(weights)[order])
    start = np.searchsorted(place, (np.arange(count) + 0.5) / count * place[-1])
    centres = shapes[order[np.minimum(start, len(order) - 1)]]
    for _ in range(rounds):
        nearest = _shape_ious(shapes, centres).argmax(axis=1)
        new = centres.copy()
        for k in range(count):
            mine = nearest == k
            if mine.any():
                new[k] = np.average(shapes[mine], axis=0, weights=weights[mine])
        if np.allclose(new, centres, atol=0.01):
            break
        centres = new
    return centres[np.argsort(centres.prod(axis=1), kind="stable")]


def search(candidates, best_of, objects: Objects, current):
    """The candidate that covers the objects best, or `current` if that covers nearly as many.

    Args:
        candidates: configs to compare.
        best_of: (config, objects) -> (m,) best IoU of each object.
        objects: what to cover.
        current: the config in use, which is kept unless the score of another one is 0.03 higher.
    """
    scored = [(objects.score(best_of(config, objects)), config) for config in candidates]
    best, config = max(scored, key=lambda pair: pair[0])
    return config if best > objects.score(best_of(current, objects)) + 0.03 else current


def fit_scale(config, best_of, objects: Objects):
    """The config with the `anchor_scale` that covers the objects best; see `search`."""
    candidates = [replace(config, anchor_scale=scale) for scale in SCALES]
    return search(candidates, best_of, objects, config)


def _shape_ious(shapes, others):
    """(m, n) IoU of shapes (m, 2) and (n, 2) with a common centre."""
    shapes, others = np.asarray(shapes, np.float64), np.asarray(others, np.float64)
    shared = np.minimum(shapes[:, None], others[None]).prod(axis=2)
    return shared / (shapes.prod(axis=1)[:, None] + others.prod(axis=1)[None] - shared)
