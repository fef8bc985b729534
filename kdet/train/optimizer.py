"""The learning rate schedule and the optimizers of the published recipes.

Momentum with the learning rate outside of the buffer, and RMSProp:

    g' = g + weight_decay * p        v = momentum * v + g'        p = p - lr * v
    s = rho * s + (1 - rho) * g'^2        m = momentum * m + lr * g' / sqrt(s + epsilon)
    p = p - m

`keras.optimizers.SGD` has the learning rate inside `v`, so it gives other results when the rate
changes. RMSProp has epsilon inside the root and starts from s = 0.
Gradients are already summed over replicas (all-reduce). The optimizers do not reduce them again.
"""

from __future__ import annotations

import math
import re

import keras
import tensorflow as tf

from kdet.config import Optimizer, ParamGroup, Schedule


def scaled_base_lr(schedule: Schedule) -> float:
    """The learning rate after the warm-up, scaled linearly to the global batch."""
    return schedule.base_lr * schedule.batch / schedule.base_batch


def learning_rate(schedule: Schedule, images: int) -> float:
    """The learning rate of the step that starts after `images` images.

    It rises linearly over the first `warmup_images` images, from `warmup_factor` of the full rate.
    Afterwards it is multiplied by `gamma` for every milestone that `images` has reached, or by the
    entry of `milestone_factors` for the last of these milestones. With `decay_kind="cosine"` it
    falls to 0 along half a cosine instead (Loshchilov and Hutter 2016, without restarts).

    Args:
        schedule: the schedule, whose lengths are in images.
        images: images seen before the step, which are the step number (from 0) times the batch.
    """
    rate = scaled_base_lr(schedule)
    if images < schedule.warmup_images:
        start = rate * schedule.warmup_factor
        return start + (rate - start) * images / schedule.warmup_images
    if schedule.decay_kind == "cosine":
        length = max(schedule.images - schedule.warmup_images, 1)
        done = min((images - schedule.warmup_images) / length, 1.0)
        return rate * 0.5 * (1 + math.cos(math.pi * done))
    passed = sum(images >= milestone for milestone in schedule.milestones)
    if schedule.milestone_factors:
        return rate * (1.0, *schedule.milestone_factors)[passed]
    return rate * schedule.gamma**passed


def describe_schedule(schedule: Schedule) -> str:
    """One line for the start of a run with the learning rate and how it was computed."""
    images, milestones = schedule.warmup_images, schedule.milestones
    warmup = f"warm-up over {images} images" if images else "no warm-up"
    powers = [schedule.gamma ** (k + 1) for k in range(len(milestones))]
    factors = schedule.milestone_factors or powers
    steps = ", ".join(f"x{f:g} from {at}" for f, at in zip(factors, milestones))
    later = f"{steps} images on" if steps else "then constant"
    if schedule.decay_kind == "cosine":
        later = f"then half a cosine down to 0 at {schedule.images} images"
    return (
        f"learning rate {scaled_base_lr(schedule):g} at a global batch of {schedule.batch} "
        f"({schedule.base_lr:g} per {schedule.base_batch} images); {warmup}, {later}"
    )


def momentum_update(variable, slot, gradient, rate, momentum):
    """Momentum update of one variable on one device. `gradient` includes the weight decay."""
    # One fused kernel: with separate operations, the graph optimizer orders the additions
    # differently on each device, and rounding errors make the replicas differ.
    tf.raw_ops.ResourceApplyMomentum(
        var=variable.handle, accum=slot.handle, lr=rate, grad=gradient, momentum=momentum
    )


def make_optimizer(variables, config: Optimizer) -> Momentum:
    """Makes the optimizer of a config for the trainable variables of a network (`Momentum`)."""
    return {"momentum": Momentum, "rmsprop": RMSProp}[config.kind](variables, config)


class Momentum(tf.Module):
    """SGD with momentum and its slots. Create it under the scope of the training strategy.

    Args:
        variables: the network's trainable Keras variables.
        config: momentum, weight decay and parameter groups. `TrainStep` clips the gradients.
    """

    SLOTS = ("",)  # suffixes that make the names of the slots from a variable's path

    def __init__(self, variables, config: Optimizer):
        super().__init__(name="momentum")
        self.config = config
        self._strategy = tf.distribute.get_strategy()
        self._variables = list(variables)
        self._groups = [
            param_group(variable.path, config.param_groups) for variable in self._variables
        ]
        self._slots = [
            [
                keras.Variable(
                    tf.zeros(v.shape),
                    dtype="float32",
                    trainable=False,
                    name=suffix.strip("/") or "momentum",
                )
                for suffix in self.SLOTS
            ]
            for v in self._variables
        ]

    @property
    def slots(self) -> dict:
        """Variable path plus a suffix of `SLOTS` -> float32 Keras variable of the same shape."""
        return {
            v.path + suffix: slot
            for v, slots in zip(self._variables, self._slots)
            for suffix, slot in zip(self.SLOTS, slots)
        }

    def apply(self, gradients, rate) -> None:
        """Updates every variable. Call this in cross-replica context.

        Args:
            gradients: one tensor or PerReplica value per variable, equal on all replicas.
            rate: () float32 learning rate.
        """
        for variable, slots, gradient, group in zip(
            self._variables, self._slots, gradients, self._groups
        ):
            self._strategy.extended.update(
                variable.value,
                lambda p, g, r, *slots, group=group: self._decayed(p, slots, g, r, group),
                args=(gradient, rate, *(slot.value for slot in slots)),
            )

    def _decayed(self, variable, slots, gradient, rate, group):
        decay = self.config.weight_decay * group.weight_decay_multiplier
        # Coupled weight decay: it is part of the gradient, so it also enters the buffers.
        if decay:
            gradient = gradient + decay * variable
        self._update(variable, slots, gradient, group.lr_multiplier * rate)

    def _update(self, variable, slots, gradient, rate):
        momentum_update(variable, slots[0], gradient, rate, self.config.momentum)


class RMSProp(Momentum):
    """RMSProp (Tieleman and Hinton 2012), not centred. See `Momentum` for the arguments."""

    SLOTS = ("/mean_square", "/momentum")

    def _update(self, variable, slots, gradient, rate):
        # one fused kernel for the same reason as in `momentum_update`
        tf.raw_ops.ResourceApplyRMSProp(
            var=variable.handle,
            ms=slots[0].handle,
            mom=slots[1].handle,
            lr=rate,
            rho=self.config.rho,
            momentum=self.config.momentum,
            epsilon=self.config.epsilon,
            grad=gradient,
        )


def param_group(path: str, groups) -> ParamGroup:
    """The first group whose pattern matches the path, or a group with multipliers of 1."""
    return next((group for group in groups if re.search(group.pattern, path)), ParamGroup(""))
