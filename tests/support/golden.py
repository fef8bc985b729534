"""Reference numbers of the original system, met joint by joint."""

import importlib.util
import json
from pathlib import Path

import numpy as np

from kdet.models.families import family_of
from kdet.ops.boxes import rescale
from kdet.weights.assign import load_strict
from kdet.weights.paddle.checkpoint import Part
from kdet.weights.paddle.tensor import Header

FOLDER = Path(__file__).parents[1] / "golden"


class Golden:
    """One row of the golden folder: manifest, numbers and the rule that makes its weights."""

    def __init__(self, row, folder=FOLDER):
        self.manifest = json.loads((folder / f"{row}.json").read_text())
        self.numbers = np.load(folder / f"{row}.npz")
        spec = importlib.util.spec_from_file_location("golden_weights", folder / "weights.py")
        self.rule = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.rule)
        self.image = self.numbers["image"].astype("float32").transpose(0, 2, 3, 1)

    def load_weights(self, network, config):
        """Gives the network the row's weights; every name and shape must agree."""
        parts = {}
        for each in self.manifest["parameters"]:
            name, shape = each["name"], tuple(each["shape"])
            values = self.rule.weight(name, shape)
            header = Header(values.dtype, shape, 0)
            parts[name] = Part(name, Path("golden"), 0, header, values.tobytes())
        report = load_strict(network, family_of(config), config, parts, "golden")
        assert not report.initialized and not report.unused

    def inputs(self):
        scale = self.numbers["test/feed/im_info"][:, 2:]
        size = self.numbers["test/feed/im_shape"][:, :2]
        return {"image": self.image, "original_size": size, "resized_size": size * scale}

    def train_batch(self, padding=0):
        """The row's training image and truth as kdet feeds them, with places for more boxes."""
        import tensorflow as tf

        numbers, count = self.numbers, len(self.numbers["train/feed/gt_box"])
        scale = numbers["train/feed/im_info"][:, [2, 2]]
        boxes = np.zeros((1, count + padding, 4), "float32")
        boxes[0, :count] = numbers["train/feed/gt_box"] + [0, 0, 1, 1]
        labels = np.zeros((1, count + padding), "int32")
        labels[0, :count] = numbers["train/feed/gt_label"][:, 0] - 1
        size = numbers["train/feed/im_info"][:, :2]
        batch = {
            "image": self.image,
            "boxes": rescale(tf.constant(boxes), scale),
            "labels": labels,
            "valid": np.arange(count + padding)[None] < count,
            "resized_size": size,
            "original_size": size / scale,
        }
        if "train/feed/gt_mask_points" in numbers:
            batch["mask_edges"], batch["mask_parts"] = self._polygons(count + padding)
        return {name: tf.constant(value) for name, value in batch.items()}

    def _polygons(self, objects, most=40):
        """Edges (1, objects, most, 4) and parts (1, objects, most) of the training polygons."""
        edges = np.zeros((1, objects, most, 4), "float32")
        parts = np.full((1, objects, most), -1, "int32")
        _, polygons, points = self.manifest["train"]["gt_mask_lens"]
        splits = np.cumsum(points)[:-1]
        outlines = iter(np.split(self.numbers["train/feed/gt_mask_points"], splits))
        for number, count in enumerate(polygons):
            place = 0
            for part in range(count):
                corners = next(outlines)
                here = slice(place, place + len(corners))
                edges[0, number, here] = np.hstack([corners, np.roll(corners, -1, axis=0)])
                parts[0, number, here] = part
                place += len(corners)
        return edges, parts

    def error(self, key, found):
        """Largest error of a joint, relative to the tensor's largest value."""
        mode, name = key.split("/", 1)
        about = self.manifest[mode]["tensors"][name]
        found = np.asarray(found, "float32")
        assert list(found.shape) == about["shape"]
        if key in self.numbers:
            difference = np.abs(found - self.numbers[key]).max()
        else:
            sample = found.ravel()[self.numbers[f"{key}@idx"]] - self.numbers[f"{key}@val"]
            first = found.ravel()[:16] - self.numbers[f"{key}@first"]
            difference = max(np.abs(sample).max(), np.abs(first).max())
        return difference / max(abs(about["min"]), abs(about["max"]))

    def matched(self, found, box=0.1, score=1e-4, rows=None):
        """Share of the row's detections that were found: same label, box and score close.

        `rows` holds (label, score, half-open box); by default the stored ones, whose labels count
        the background and whose corners are inclusive.
        """
        if rows is None:
            rows = self.numbers["test/out/bbox"] + np.array([-1, 0, 0, 0, 1, 1], "float32")
        free = found["valid"][0].copy()
        labels, scores, boxes = (found[k][0] for k in ("labels", "scores", "boxes"))
        for row in rows:
            near = np.abs(boxes - row[2:]).max(axis=1) < box
            hits = free & near & (labels == row[0]) & (np.abs(scores - row[1]) < score)
            free[np.flatnonzero(hits)[:1]] = False
        return (found["valid"][0].sum() - free.sum()) / len(rows)
