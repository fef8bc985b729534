"""Schedules and optimizers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kdet.config.errors import ConfigError, one_of


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
    factors: tuple[float, ...] = ()  # of the rate after each entry of `decay`; empty: `gamma`'s

    def __post_init__(self):
        for name in ("images", "batch", "rate_batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"Schedule.{name} must be at least 1, got {getattr(self, name)}")
        if self.factors and len(self.factors) != len(self.decay):
            raise ConfigError(
                f"Schedule.factors must be empty or one per entry of decay ({len(self.decay)}), "
                f"got {len(self.factors)}"
            )

    @property
    def steps(self) -> int:
        """Steps of the whole run at this batch size."""
        return math.ceil(self.images / self.batch)


def detectron(length: str, rate: float, **changes) -> Schedule:
    """The schedules of the R-CNN tables: 1x, 90k steps of 16 images, 2x, and s1x of 130k."""
    thousands = {"1x": (60, 80, 90), "2x": (120, 160, 180), "s1x": (100, 120, 130)}
    if length not in thousands:
        raise ConfigError(f"schedule must be one of {', '.join(thousands)}, got {length!r}")
    first, second, last = (16_000 * k for k in thousands[length])
    return Schedule(images=last, decay=(first, second), rate=rate, **changes)


def yolo_270e() -> Schedule:
    """The YOLOv3 rows: 500,200 steps of 64 images, warmed up from zero over 4,000."""
    return Schedule(
        images=500_200 * 64,
        decay=(400_000 * 64, 450_000 * 64),
        rate=0.001,
        batch=64,
        rate_batch=64,
        warmup=4000 * 64,
        warmup_factor=0.0,
    )


def ssd_120e() -> Schedule:
    """The SSD row: 28,000 steps of 64 images, five rates, no warm-up."""
    return Schedule(
        images=28_000 * 64,
        decay=tuple(64_000 * k for k in (10, 15, 20, 25)),
        factors=(0.5, 0.25, 0.1, 0.01),
        rate=0.001,
        batch=64,
        rate_batch=64,
        warmup=0,
    )


@dataclass(frozen=True)
class Rule:
    """Exceptions for variables whose path matches `pattern` (`re.search`); first match wins."""

    pattern: str
    rate: float = 1.0  # multiplies the learning rate
    decay: float = 1.0  # multiplies the weight decay


# Biases outside the backbone: twice the rate, no decay. Trainable norms: no decay.
DETECTRON_RULES = (Rule(r"/(gamma|beta|scale|offset)$", 1.0, 0.0), Rule(r"/bias$", 2.0, 0.0))
# YOLOv3: neither norms nor the biases of the outputs decay.
YOLO_RULES = (Rule(r"/(gamma|beta|bias)$", 1.0, 0.0),)
# SSD: convolutions before the head at a tenth of the rate; norms do not decay, biases do.
SSD_RULES = (Rule(r"^conv\d\w*/kernel$", 0.1, 1.0), Rule(r"/(gamma|beta)$", 1.0, 0.0))


@dataclass(frozen=True)
class Optimizer:
    """Momentum with the learning rate outside the buffer, or RMSProp; coupled L2 decay."""

    kind: str = "momentum"  # "momentum" | "rmsprop": not centred, epsilon inside the root
    momentum: float = 0.9
    rho: float = 0.95  # RMSProp's memory of squared gradients
    epsilon: float = 1e-6  # RMSProp's
    decay: float = 1e-4
    clip_norm: float = 0.0  # global gradient norm; 0 turns clipping off
    rules: tuple[Rule, ...] = DETECTRON_RULES

    def __post_init__(self):
        one_of(self, "kind", ("momentum", "rmsprop"))
