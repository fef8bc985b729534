"""Schedules and optimizers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kdet.config.errors import ConfigError


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. `images`, `decay` and `warmup` count training images."""

    images: int
    decay: tuple[int, ...]  # images seen when the rate is multiplied by `gamma`
    rate: float  # learning rate at `rate_batch` images per step; scaled linearly to `batch`
    batch: int = 16  # images per step, all replicas together
    rate_batch: int = 16
    gamma: float = 0.1
    warmup: int = 8000
    warmup_factor: float = 1 / 3

    def __post_init__(self):
        for name in ("images", "batch", "rate_batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"Schedule.{name} must be at least 1, got {getattr(self, name)}")

    @property
    def steps(self) -> int:
        """Steps of the whole run at this batch size."""
        return math.ceil(self.images / self.batch)


def detectron(length: str, rate: float, **changes) -> Schedule:
    """The 1x and 2x schedules of the R-CNN tables: 90k or 180k steps of 16 images."""
    thousands = {"1x": (60, 80, 90), "2x": (120, 160, 180)}
    if length not in thousands:
        raise ConfigError(f"schedule must be one of {', '.join(thousands)}, got {length!r}")
    first, second, last = (16_000 * k for k in thousands[length])
    return Schedule(images=last, decay=(first, second), rate=rate, **changes)


@dataclass(frozen=True)
class Rule:
    """Exceptions for variables whose path matches `pattern` (`re.search`); first match wins."""

    pattern: str
    rate: float = 1.0  # multiplies the learning rate
    decay: float = 1.0  # multiplies the weight decay


# Biases outside the backbone: twice the rate, no decay. Trainable norms: no decay.
DETECTRON_RULES = (Rule(r"/(gamma|beta|scale|offset)$", 1.0, 0.0), Rule(r"/bias$", 2.0, 0.0))


@dataclass(frozen=True)
class Optimizer:
    """Momentum with the learning rate outside the buffer and coupled L2 decay."""

    momentum: float = 0.9
    decay: float = 1e-4
    clip_norm: float = 0.0  # global gradient norm; 0 turns clipping off
    rules: tuple[Rule, ...] = DETECTRON_RULES
