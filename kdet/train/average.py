"""The exponential moving average of the weights (Polyak and Juditsky 1992)."""

from __future__ import annotations

from contextlib import contextmanager

import keras
import tensorflow as tf

from kdet.weights.match_classes import by_path


class WeightAverage(tf.Module):
    """Averages of all variables of a network, also of the statistics of batch norms.

    Create it under the scope of the training strategy, after the network. It starts from the
    weights at its first update.

    Args:
        network: keras.Model.
        decay: the average keeps this share of itself at every step.
    """

    def __init__(self, network, decay: float):
        super().__init__(name="average")
        self.decay = decay
        self._strategy = tf.distribute.get_strategy()
        self._variables = by_path(network)
        self._averages = {
            path: keras.Variable(tf.zeros(v.shape), dtype="float32", trainable=False, name="ema")
            for path, v in self._variables.items()
        }

    @property
    def slots(self) -> dict:
        """Variable path plus "/ema" -> float32 Keras variable of the same shape."""
        return {f"{path}/ema": variable for path, variable in self._averages.items()}

    def decay_at(self, step: int) -> float:
        """The decay of the update after step `step` (from 0), which is smaller in the beginning."""
        return min(self.decay, step / (10 + step))

    def update(self, decay) -> None:
        """Moves the averages to the weights. Call this in cross-replica context.

        Args:
            decay: () float32, the result of `decay_at`.
        """
        for path, average in self._averages.items():
            self._strategy.extended.update(
                average.value,
                lambda a, v, d: a.assign(d * a + (1 - d) * tf.cast(v, tf.float32)),
                args=(self._variables[path].value, decay),
            )

    @contextmanager
    def swapped(self):
        """A context in which the network has the averages, and the averages have its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self):
        for path, average in self._averages.items():
            variable = self._variables[path]
            value, mean = variable.numpy(), average.numpy()
            variable.assign(mean)
            average.assign(value)
