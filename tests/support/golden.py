"""Reference numbers of the original system, met joint by joint."""

import importlib.util
import json

import numpy as np

from kdet.weights.names import from_reference, reference_name


class Golden:
    """One row of the golden folder: manifest, numbers and the rule that makes its weights."""

    def __init__(self, folder, row):
        self.manifest = json.loads((folder / f"{row}.json").read_text())
        self.numbers = np.load(folder / f"{row}.npz")
        spec = importlib.util.spec_from_file_location("golden_weights", folder / "weights.py")
        self.rule = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.rule)
        self.image = self.numbers["image"].astype("float32").transpose(0, 2, 3, 1)

    def fill(self, network):
        """Gives the network the row's weights; every name and shape must agree."""
        shapes = {p["name"]: tuple(p["shape"]) for p in self.manifest["parameters"]}
        for variable in network.variables:
            name = reference_name(variable.path)
            variable.assign(from_reference(self.rule.weight(name, shapes.pop(name)), name))
        assert not shapes, f"no variable took {sorted(shapes)}"

    def inputs(self):
        scale = self.numbers["test/feed/im_info"][:, 2:]
        size = self.numbers["test/feed/im_shape"][:, :2]
        return {"image": self.image, "original_size": size, "resized_size": size * scale}

    def error(self, key, found):
        """Largest error of a joint, relative to the tensor's largest value."""
        mode, name = key.split("/", 1)
        facts = self.manifest[mode]["tensors"][name]
        found = np.asarray(found, "float32")
        assert list(found.shape) == facts["shape"]
        if key in self.numbers:
            difference = np.abs(found - self.numbers[key]).max()
        else:
            sample = found.ravel()[self.numbers[f"{key}@idx"]] - self.numbers[f"{key}@val"]
            first = found.ravel()[:16] - self.numbers[f"{key}@first"]
            difference = max(np.abs(sample).max(), np.abs(first).max())
        return difference / max(abs(facts["min"]), abs(facts["max"]))

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
