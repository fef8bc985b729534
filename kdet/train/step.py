"""One training step, with the same result on one replica and on several.

Every replica computes the losses of its own images and divides them by the normalizers of all
images. So the sum over replicas is the loss of the whole batch. Normalizers, gradients and losses
are summed over replicas once. Clipping, the check for finite values and the update use these sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from kdet.errors import ConfigError
from kdet.models.family import network_inputs


@dataclass(frozen=True)
class Outcome:
    """The result of a step.

    Attributes:
        losses: name -> loss of the global batch.
        norm: global gradient norm before clipping, without loss scale.
        finite: whether losses and gradients were finite. If not, no variable changed.
    """

    losses: dict[str, float]
    norm: float
    finite: bool


class TrainStep:
    """Callable: (batch, rate, scale) -> Outcome.

    Args:
        network: functional Keras model, built under `strategy.scope()`. Its input is the image, or
            a dict of entries of the batch. Its output is a nested dict.
        targets_fn: batch -> (nested dict of tensors, {"name": () float32 local normalizer}).
        losses_fn: (outputs float32, targets, global normalizers) -> {"name": () float32}, the
            replica's share of each loss.
        optimizer: has `apply(gradients, rate)`, and is made under the same scope.
        strategy: the tf.distribute strategy. One replica uses the default strategy.
        jit: compile targets, losses and gradients with XLA (see `distribution.resolve_jit`).
        clip_norm: limit of the global gradient norm. 0 turns clipping off.
        accumulate: number of parts of a batch that are computed one after the other. The result
            is that of the whole batch up to rounding, but batch norms see one part at a time.
        average: a `kdet.train.average.WeightAverage` to update after every step, or None.
        prepare: batch -> batch, on the device before all else, as `kdet.data.transforms.normalise`.
    """

    def __init__(
        self,
        network,
        targets_fn,
        losses_fn,
        optimizer,
        strategy,
        *,
        jit=False,
        clip_norm=0.0,
        accumulate=1,
        average=None,
        prepare=None,
    ):
        self.network, self.optimizer, self.strategy = network, optimizer, strategy
        self.compilations = 0  # number of traces: one per canvas and local replica
        self._losses_fn, self._clip_norm = losses_fn, clip_norm
        self._accumulate, self._average = accumulate, average
        self._trainable = network.trainable_variables
        self._state = network.non_trainable_variables
        self._changed = []  # indices of the state that a forward pass changes, set by a trace
        self._targets, self._compute = targets_fn, self._gradients
        self._prepare = prepare or (lambda batch: batch)
        # XLA compiles these two parts only. The all-reduce and the update stay outside, because
        # XLA cannot compile operations that use several devices.
        if jit:
            self._targets = tf.function(targets_fn, jit_compile=True, autograph=False)
            self._compute = tf.function(self._gradients, jit_compile=True, autograph=False)
        self._step = tf.function(self._all_replicas, autograph=False)
        self._validate = tf.function(self._validation, autograph=False)

    def __call__(self, batch, rate: float, scale: float = 1.0, decay: float = 0.0) -> Outcome:
        """Takes one step.

        Args:
            batch: a batch dict (`kdet.data.schema`), with PerReplica values for several replicas.
            rate: learning rate.
            scale: loss scale of float16 training.
            decay: decay of the average of the weights, if there is one.
        """
        losses, norm, finite = self._step(
            batch, *(tf.constant(value, tf.float32) for value in (rate, scale, decay))
        )
        return Outcome({k: float(v) for k, v in losses.items()}, float(norm), bool(finite))

    def validation_losses(self, batch) -> dict[str, float]:
        """The losses of a batch on one device, as in inference: nothing is changed."""
        return {name: float(value) for name, value in self._validate(batch).items()}

    def _validation(self, batch):
        targets, normalizers = self._targets(batch)
        outputs = self.network(network_inputs(self.network, batch), training=False)
        outputs = tf.nest.map_structure(lambda x: tf.cast(x, tf.float32), outputs)
        return self._losses_fn(outputs, targets, normalizers)

    def _all_replicas(self, batch, rate, scale, decay):
        losses, gradients, state, norm, finite = self.strategy.run(self._replica, (batch, scale))
        losses = {name: self._local(value) for name, value in losses.items()}
        norm, finite = self._local(norm), self._local(finite)
        # Outside of the replicas, a condition may contain updates of mirrored variables.
        tf.cond(finite, lambda: self._update(gradients, state, rate, decay), lambda: 0)
        return losses, norm, finite

    def _local(self, value):
        return self.strategy.experimental_local_results(value)[0]

    def _update(self, gradients, state, rate, decay):
        self.optimizer.apply(gradients, rate)
        for index, value in zip(self._changed, state):
            self.strategy.extended.update(
                self._state[index].value, lambda v, new: v.assign(new), args=(value,)
            )
        if self._average:
            self._average.update(decay)
        return 0

    def _replica(self, batch, scale):
        replicas = tf.distribute.get_replica_context()
        parts = self._parts(self._prepare(batch))
        found = [self._targets(part) for part in parts]
        # Summed before the division: a mean of local ratios would depend on the split of the batch.
        normalizers = _sum([normalizers for _, normalizers in found])
        normalizers = replicas.all_reduce("sum", normalizers)
        trainable = [tf.convert_to_tensor(v.value) for v in self._trainable]
        state = [tf.convert_to_tensor(v.value) for v in self._state]
        results = []
        for part, (targets, _) in zip(parts, found):
            # one part after the other, or all of them would be in memory together
            with tf.control_dependencies(tf.nest.flatten(results[-1:])):
                inputs = network_inputs(self.network, part)
                *result, changed = self._compute(
                    trainable, state, inputs, targets, normalizers, scale
                )
            results.append(result if not results else _sum([results[-1], result]))
            for index, value in zip(self._changed, changed):
                state[index] = value
        losses, gradients = results[-1]
        state = [state[index] for index in self._changed]
        # All-reduce before clipping and before the check: both must see the global gradients.
        losses, gradients = replicas.all_reduce("sum", (losses, gradients))
        # The norms are equal up to rounding, which depends on the machine. Their mean is the same
        # to the last bit on all replicas.
        norm = replicas.all_reduce("mean", tf.linalg.global_norm(gradients) / scale)
        factor = 1.0 / scale
        if self._clip_norm:
            factor *= self._clip_norm / tf.maximum(norm, self._clip_norm)
        gradients = [g * factor for g in gradients]
        finite = tf.math.is_finite(norm) & tf.math.is_finite(tf.add_n(list(losses.values())))
        return losses, gradients, state, norm, finite

    def _parts(self, batch):
        """The parts of a replica's batch whose gradients are added."""
        if self._accumulate == 1:
            return [batch]
        split = {name: tf.split(value, self._accumulate) for name, value in batch.items()}
        return [{name: split[name][k] for name in batch} for k in range(self._accumulate)]

    def _gradients(self, trainable, state, inputs, targets, normalizers, scale):
        """Losses, gradients and changed state. It has no side effects, so XLA can compile it."""
        self.compilations += 1
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(trainable)
            outputs, new = self.network.stateless_call(trainable, state, inputs, training=True)
            outputs = tf.nest.map_structure(lambda x: tf.cast(x, tf.float32), outputs)
            losses = self._losses_fn(outputs, targets, normalizers)
            total = tf.add_n(list(losses.values())) * scale
        gradients = tape.gradient(total, trainable)
        dead = [v.path for v, g in zip(self._trainable, gradients) if g is None]
        if dead:
            raise ConfigError(f"no gradient reaches trainable variables: {', '.join(dead)}")
        self._changed = [i for i, (old, value) in enumerate(zip(state, new)) if old is not value]
        return losses, gradients, [new[i] for i in self._changed]


def _sum(structures):
    """The sum of nested structures of tensors."""
    return tf.nest.map_structure(lambda *values: tf.add_n(values), *structures)
