"""The published optimizer: momentum with the learning rate outside the buffer, coupled L2.

    g' = g + decay * p        v = momentum * v + g'        p = p - rate * v

It differs from `keras.optimizers.SGD` whenever the rate changes: there the rate is inside `v`.
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


class Momentum(tf.Module):
    """Momentum and its slots. Create it under the scope of the strategy that trains.

    Args:
        variables: the network's trainable Keras variables.
        config: momentum, decay and the per-variable rules (clipping is the step's).
    """

    def __init__(self, variables, config: Optimizer):
        super().__init__(name="momentum")
        self.config = config
        self._strategy = tf.distribute.get_strategy()
        self._variables = list(variables)
        self._rules = [rule_of(variable.path, config.rules) for variable in self._variables]
        self._slots = [
            keras.Variable(tf.zeros(v.shape), dtype="float32", trainable=False, name="momentum")
            for v in self._variables
        ]

    @property
    def slots(self) -> dict:
        """Variable path -> its float32 momentum buffer, a Keras variable of the same shape."""
        return {v.path: slot for v, slot in zip(self._variables, self._slots)}

    def apply(self, gradients, rate) -> None:
        """Updates every variable. Call it in cross-replica context.

        Args:
            gradients: one per variable, equal on all replicas: tensors or PerReplica values.
            rate: () float32 learning rate.
        """
        for variable, slot, gradient, rule in zip(
            self._variables, self._slots, gradients, self._rules
        ):
            self._strategy.extended.update(
                variable.value,
                lambda p, v, g, r, rule=rule: self._update(p, v, g, r, rule),
                args=(slot.value, gradient, rate),
            )

    def _update(self, variable, slot, gradient, rate, rule):
        decay = self.config.decay * rule.decay
        if decay:
            gradient = gradient + decay * variable
        momentum_update(variable, slot, gradient, rule.rate * rate, self.config.momentum)


def rule_of(path: str, rules) -> Rule:
    """The first rule whose pattern is found in a variable's path, else rate 1 and decay 1."""
    return next((rule for rule in rules if re.search(rule.pattern, path)), Rule(""))
