"""Compares an exported detector with the detector that it was made of."""

from __future__ import annotations

import numpy as np

from kdet.data.batches import image_batch
from kdet.errors import ConfigError
from kdet.serving.engines import EngineDetector
from kdet.serving.formats import engine_for

BEST = 20  # detections that are compared
AGREE = 0.8  # share of them that must agree; those of nearly equal scores may change places


def check_agreement(path, stored: dict, detector, data) -> None:
    """Runs an exported file once and compares it with the detector.

    Without NMS, or with 8-bit integers, only the shapes and the finiteness of the outputs are
    checked.

    Raises:
        ConfigError: the engine cannot run the file, or finds something else.
    """
    engine = engine_for(path, stored)
    image = sample_image(data.canvas_sizes()[-1])
    try:
        exported = EngineDetector(path, engine, stored)
        found = exported(image_batch([image], exported.data))
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"{engine} cannot run this detector: {reason}") from None
    damaged = [name for name, values in found.items() if not np.isfinite(values).all()]
    if damaged:
        raise ConfigError(f"{engine} gives numbers that are not finite: {', '.join(damaged)}")
    if stored["int8"] or not stored["nms"]:
        return
    wanted = detector(image_batch([image], data))
    wanted = {name: np.asarray(value) for name, value in wanted.items()}
    share = agreement(found, wanted)
    if share < AGREE:
        raise ConfigError(
            f"only {share:.0%} of the best detections of {engine} are those of the detector, so "
            "the file was not written"
        )


def agreement(found: dict, wanted: dict, box=0.5, score=1e-3) -> float:
    """The share of the best wanted detections that were found.

    Args:
        found, wanted: outputs of detectors for one image.
        box: pixels that a side may differ by.
        score: what a score may differ by.
    """

    def parts(outputs):
        valid = outputs["valid"][0]
        return (outputs[name][0][valid] for name in ("scores", "labels", "boxes"))

    (s, k, a), (t, m, b) = parts(found), parts(wanted)
    if not len(t):
        return 1.0 if not len(s) else 0.0
    same = (np.abs(s[:, None] - t[None, :BEST]) <= score) & (k[:, None] == m[None, :BEST])
    same &= (np.abs(a[:, None] - b[None, :BEST]) <= box).all(axis=2)
    return float(same.any(axis=0).mean())


def sample_image(size):
    """Rectangles of random colours on a gradient, (H, W, 3) uint8."""
    height, width = size
    numbers = np.random.default_rng(0)
    image = np.linspace(60, 180, height * width * 3).reshape(height, width, 3).astype(np.uint8)
    for _ in range(12):
        y, x = numbers.integers(0, height * 3 // 4), numbers.integers(0, width * 3 // 4)
        high, wide = numbers.integers(8, height // 2), numbers.integers(8, width // 2)
        image[y : y + high, x : x + wide] = numbers.integers(0, 256, 3)
    return image
