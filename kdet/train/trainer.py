"""The training loop: batches in, one report a step out.

The loop depends on no family, data set or file; `run` puts the parts together.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import keras
import tensorflow as tf

from kdet.config import Optimizer, Schedule
from kdet.errors import ConfigError, NotFiniteError
from kdet.train import distribution
from kdet.train.distribution import resolve_jit
from kdet.train.optimizer import learning_rate, make_optimizer
from kdet.train.step import TrainStep

POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16"}


@dataclass
class LossScale:
    """Float16 gradients are scaled up by `value`: halved on overflow, doubled after good steps."""

    value: float = 1.0
    good: int = 0  # finite steps since the last change
    growth: int = 2000

    def update(self, finite: bool) -> None:
        """Counts one step."""
        if not finite:
            self.value, self.good = self.value / 2, 0
        elif self.good + 1 >= self.growth:
            self.value, self.good = self.value * 2, 0
        else:
            self.good += 1


@dataclass(frozen=True)
class Report:
    """One step: `step` counts from 0; seconds of the whole step and of waiting for its data.

    `applied` is False where a float16 overflow left the weights alone.
    """

    step: int
    losses: dict[str, float]
    rate: float
    norm: float
    images: int
    seconds: float
    waited: float
    applied: bool = True
    scale: float = field(default=1.0)


def set_precision(precision: str) -> None:
    """Sets the Keras dtype policy for models built afterwards: fp32, bf16 or fp16."""
    if precision not in POLICIES:
        raise ConfigError(f"--precision must be one of {', '.join(POLICIES)}, got {precision!r}")
    keras.config.set_dtype_policy(POLICIES[precision])


class Trainer:
    """A network in training: its optimizer, step number and loss scale.

    Args:
        network, targets_fn, losses_fn: see `kdet.train.step.TrainStep`; the network is built under
            `strategy.scope()` and under the policy of `precision`.
        schedule: rate and global batch.
        optimizer: momentum, weight decay, clipping and parameter groups.
        strategy: from `kdet.train.distribution.make_strategy`.
        jit: "auto", "on" or "off".
        precision: "fp32", "bf16" or "fp16"; fp16 turns the loss scale on.
    Raises:
        ConfigError: the batch does not divide by the replicas; jit that cannot work.
    """

    def __init__(
        self,
        network,
        targets_fn,
        losses_fn,
        schedule: Schedule,
        optimizer: Optimizer,
        strategy,
        *,
        jit: str = "auto",
        precision: str = "fp32",
    ):
        distribution.check_batch(schedule.batch, strategy)
        self.network, self.schedule, self.strategy = network, schedule, strategy
        self.step = 0  # steps taken, skipped ones included
        self.scaled = precision == "fp16"
        self.loss_scale = LossScale(2.0**15 if self.scaled else 1.0)
        self.jit, self.jit_reason = resolve_jit(jit, network, strategy)
        with strategy.scope():
            self.optimizer = make_optimizer(network.trainable_variables, optimizer)
        self.train_step = TrainStep(
            network,
            targets_fn,
            losses_fn,
            self.optimizer,
            strategy,
            jit=self.jit,
            clip_norm=optimizer.clip_norm,
        )

    def train(self, batches, until: int):
        """Generator: takes steps until `self.step` is `until` and yields a Report after each.

        Args:
            batches: iterable of batch dicts from step `self.step` on: this worker's images.
        Raises:
            NotFiniteError: fp32 or bf16 met NaN or infinity, or the float16 scale fell below 1.
            ConfigError: the batches ended early.
        """
        batches = iter(batches)
        while self.step < until:
            start = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                raise ConfigError(f"the data ended at step {self.step} of {until}")
            waited = time.perf_counter() - start
            batch = distribution.split(self.strategy, batch)
            rate = learning_rate(self.schedule, self.step * self.schedule.batch)
            scale = self.loss_scale.value
            outcome = self.train_step(batch, rate, scale)
            self._check_finite(outcome, batch)
            self.step += 1
            yield Report(
                self.step - 1,
                outcome.losses,
                rate,
                outcome.norm,
                self.schedule.batch,
                time.perf_counter() - start,
                waited,
                outcome.finite,
                scale,
            )

    def _check_finite(self, outcome, batch):
        if self.scaled:
            self.loss_scale.update(outcome.finite)
        if outcome.finite or (self.scaled and self.loss_scale.value >= 1):
            return
        bad = [f"loss {k!r} is {v}" for k, v in outcome.losses.items() if v - v != 0]
        raise NotFiniteError(
            f"step {self.step}: {', '.join(bad) or f'the gradient norm is {outcome.norm}'}; "
            f"image ids {', '.join(map(str, self._image_ids(batch)))}; "
            f"the weights are those after {self.step} good steps"
        )

    def _image_ids(self, batch):
        ids = batch["image_id"]
        if self.strategy.num_replicas_in_sync > 1:
            ids = self.strategy.gather(ids, axis=0)
        return tf.convert_to_tensor(ids).numpy().tolist()
