"""The training loop. It takes batches and yields one report per step.

The loop does not depend on a family, a data set or files. `run` connects these parts.
"""

from __future__ import annotations

import functools
import time
from contextlib import nullcontext
from dataclasses import dataclass, field

import keras
import tensorflow as tf

from kdet.config import Optimizer, Schedule
from kdet.data.transforms import normalise
from kdet.errors import ConfigError, NotFiniteError
from kdet.models.families import family_of
from kdet.train import distribution
from kdet.train.average import WeightAverage
from kdet.train.distribution import resolve_jit
from kdet.train.optimizer import learning_rate, make_optimizer
from kdet.train.step import TrainStep

POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16"}


@dataclass
class LossScale:
    """Dynamic loss scale of float16 training: halved on overflow, doubled after good steps."""

    value: float = 1.0  # factor of the loss, so that small gradients do not become 0
    good: int = 0  # finite steps since the last change
    growth: int = 2000  # finite steps after which `value` is doubled

    def update(self, finite: bool) -> None:
        """Changes the scale after a step."""
        if not finite:
            self.value, self.good = self.value / 2, 0
        elif self.good + 1 >= self.growth:
            self.value, self.good = self.value * 2, 0
        else:
            self.good += 1


@dataclass(frozen=True)
class Report:
    """What happened in one step."""

    step: int  # from 0
    losses: dict[str, float]
    rate: float  # learning rate
    norm: float  # gradient norm before clipping
    images: int  # global batch
    seconds: float  # time of the whole step
    waited: float  # time of waiting for the batch, in seconds
    applied: bool = True  # False if a float16 overflow skipped the update
    scale: float = field(default=1.0)  # loss scale


def set_precision(precision: str) -> None:
    """Sets the Keras dtype policy for models built afterwards: fp32, bf16 or fp16."""
    if precision not in POLICIES:
        raise ConfigError(f"--precision must be one of {', '.join(POLICIES)}, got {precision!r}")
    keras.config.set_dtype_policy(POLICIES[precision])


class Trainer:
    """Trains a network. It has the optimizer, the step number and the loss scale.

    Args:
        network, targets_fn, losses_fn, prepare: see `kdet.train.step.TrainStep`. The network is
            built under `strategy.scope()` and with the dtype policy of `precision`.
        schedule: learning rate and global batch.
        optimizer: momentum, weight decay, clipping and parameter groups.
        strategy: the result of `kdet.train.distribution.make_strategy`.
        jit: "auto", "on" or "off".
        precision: "fp32", "bf16" or "fp16". Only fp16 uses a loss scale.
    Raises:
        ConfigError: the batch is not a multiple of the replicas, or XLA cannot compile the step.
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
        prepare=None,
    ):
        distribution.check_batch(schedule.batch, strategy, schedule.accumulate)
        self.network, self.schedule, self.strategy = network, schedule, strategy
        self.step = 0  # steps taken, skipped ones included
        self.scaled = precision == "fp16"
        self.loss_scale = LossScale(2.0**15 if self.scaled else 1.0)
        self.jit, self.jit_reason = resolve_jit(jit, network, strategy)
        decay = optimizer.ema_decay
        with strategy.scope():
            self.optimizer = make_optimizer(network.trainable_variables, optimizer)
            self.average = WeightAverage(network, decay) if decay else None
        self.train_step = TrainStep(
            network,
            targets_fn,
            losses_fn,
            self.optimizer,
            strategy,
            jit=self.jit,
            clip_norm=optimizer.clip_norm,
            accumulate=schedule.accumulate,
            average=self.average,
            prepare=prepare,
        )

    @property
    def slots(self) -> dict:
        """All variables that training needs in addition to the weights, by their names."""
        return {**self.optimizer.slots, **(self.average.slots if self.average else {})}

    def averaged(self):
        """A context in which the network has the averaged weights, if the recipe averages them."""
        return self.average.swapped() if self.average and self.step else nullcontext()

    def train(self, batches, until: int):
        """Takes steps until `self.step` is `until`, and yields a Report after each one.

        Args:
            batches: iterable of batch dicts with this worker's images, starting at `self.step`.
            until: number of steps of the whole run.
        Raises:
            NotFiniteError: NaN or infinity in fp32 or bf16, or a float16 loss scale below 1.
            ConfigError: there are too few batches.
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
            decay = self.average.decay_at(self.step) if self.average else 0.0
            outcome = self.train_step(batch, rate, scale, decay)
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
        # An overflow is normal in float16, and a smaller scale avoids the next one.
        if self.scaled:
            self.loss_scale.update(outcome.finite)
        if outcome.finite or (self.scaled and self.loss_scale.value >= 1):
            return
        bad = [f"loss {k!r} is {v}" for k, v in outcome.losses.items() if v - v != 0]
        raise NotFiniteError(
            f"step {self.step}: {', '.join(bad) or f'the gradient norm is {outcome.norm}'}; "
            f"image ids {', '.join(map(str, self._image_ids(batch)))}; "
            f"the weights are those after {self.step} steps, before this one"
        )

    def _image_ids(self, batch):
        ids = batch["image_id"]
        if self.strategy.num_replicas_in_sync > 1:
            ids = self.strategy.gather(ids, axis=0)
        return tf.convert_to_tensor(ids).numpy().tolist()


def trainer_of(detector, strategy, jit: str = "auto", precision: str = "fp32") -> Trainer:
    """The trainer of a detector, with the losses of its family.

    Args:
        detector: `kdet.Detector` with a recipe, built under `strategy.scope()`.
        strategy, jit, precision: see `Trainer`.
    """
    recipe, family = detector.recipe, family_of(detector.config)
    with strategy.scope():
        network = detector.training_model()
    return Trainer(
        network,
        functools.partial(family.targets, recipe.model),
        functools.partial(family.losses, recipe.model),
        recipe.schedule,
        recipe.optimizer,
        strategy,
        jit=jit,
        precision=precision,
        prepare=normalise(recipe.data),
    )
