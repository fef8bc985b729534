"""The published optimizers: momentum with the learning rate outside the buffer, or RMSProp.

    g' = g + decay * p        v = momentum * v + g'        p = p - rate * v
    s = rho * s + (1 - rho) * g'^2        m = momentum * m + rate * g' / sqrt(s + epsilon)
    p = p - m

The first differs from `keras.optimizers.SGD` whenever the rate changes: there the rate is inside
`v`. The second has its epsilon inside the root and starts from s = 0.
Gradients are summed over replicas before they come here; nothing is reduced a second time.
"""

from __future__ import annotations

import re

import keras
import tensorflow as tf

from kdet.config import Optimizer, Rule


def momentum_update(variable, slot, gradient, rate, momentum):
    """One heavy-ball update of one variable on one device; `gradient` includes the decay term."""
    # One fused kernel: written as separate sums, the graph optimizer reorders the additions
    # differently on each device, and replicas drift apart by rounding errors.
    tf.raw_ops.ResourceApplyMomentum(
        var=variable.handle, accum=slot.handle, lr=rate, grad=gradient, momentum=momentum
    )


def make(variables, config: Optimizer) -> Momentum:
    """The optimizer of a config, over a network's trainable variables; see `Momentum`."""
    return {"momentum": Momentum, "rmsprop": RMSProp}[config.kind](variables, config)


class Momentum(tf.Module):
    """Momentum and its slots. Create it under the scope of the strategy that trains.

    Args:
        variables: the network's trainable Keras variables.
        config: momentum, decay and the per-variable rules (clipping is the step's).
    """

    SLOTS = ("",)  # what the names of the buffers add to a variable's path

    def __init__(self, variables, config: Optimizer):
        super().__init__(name="momentum")
        self.config = config
        self._strategy = tf.distribute.get_strategy()
        self._variables = list(variables)
        self._rules = [rule_of(variable.path, config.rules) for variable in self._variables]
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
        """Variable path, plus one of `SLOTS` -> a float32 Keras variable of the same shape."""
        return {
            v.path + suffix: slot
            for v, slots in zip(self._variables, self._slots)
            for suffix, slot in zip(self.SLOTS, slots)
        }

    def apply(self, gradients, rate) -> None:
        """Updates every variable. Call it in cross-replica context.

        Args:
            gradients: one per variable, equal on all replicas: tensors or PerReplica values.
            rate: () float32 learning rate.
        """
        for variable, slots, gradient, rule in zip(
            self._variables, self._slots, gradients, self._rules
        ):
            self._strategy.extended.update(
                variable.value,
                lambda p, g, r, *slots, rule=rule: self._decayed(p, slots, g, r, rule),
                args=(gradient, rate, *(slot.value for slot in slots)),
            )

    def _decayed(self, variable, slots, gradient, rate, rule):
        decay = self.config.decay * rule.decay
        if decay:
            gradient = gradient + decay * variable
        self._update(variable, slots, gradient, rule.rate * rate)

    def _update(self, variable, slots, gradient, rate):
        momentum_update(variable, slots[0], gradient, rate, self.config.momentum)


class RMSProp(Momentum):
    """RMSProp (Tieleman and Hinton 2012), not centred, and its slots; see `Momentum`."""

    SLOTS = ("/mean_square", "/momentum")

    def _update(self, variable, slots, gradient, rate):
        # fused for the same reason as the momentum update
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


def rule_of(path: str, rules) -> Rule:
    """The first rule whose pattern is found in a variable's path, else rate 1 and decay 1."""
    return next((rule for rule in rules if re.search(rule.pattern, path)), Rule(""))
