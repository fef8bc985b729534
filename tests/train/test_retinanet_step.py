"""The whole RetinaNet step under XLA: one compilation per canvas, the numbers of graph mode."""

import numpy as np
import tensorflow as tf

from kdet import models
from kdet.config import R50, Data, Optimizer, RetinaNet
from kdet.models.families import family_of
from kdet.train.optimizer import Momentum
from kdet.train.step import TrainStep

CONFIG = RetinaNet(R50, num_classes=2, width=32, depth=1)


def batch_of(height, width):
    rng = np.random.default_rng(height)
    return {
        "image": tf.constant(rng.normal(size=(1, height, width, 3)).astype("float32")),
        "boxes": tf.constant([[[8.0, 8, 70, 90], [0.0, 0, 0, 0]]]),
        "labels": tf.constant([[1, 0]]),
        "valid": tf.constant([[True, False]]),
    }


def test_compiled_step_equals_graph_mode():
    network = models.build(CONFIG, Data(short_side=128, long_side=256, pad_to=128)).network
    start = [v.numpy() for v in network.variables]
    found = {}
    for jit in (False, True):
        for variable, value in zip(network.variables, start):
            variable.assign(value)
        step = TrainStep(
            network,
            lambda batch: family_of(CONFIG).targets(CONFIG, batch),
            lambda raw, truth, counts: family_of(CONFIG).losses(CONFIG, raw, truth, counts),
            Momentum(network.trainable_variables, Optimizer()),
            tf.distribute.get_strategy(),
            jit=jit,
            clip_norm=1.0,
        )
        canvases = ((128, 128), (128, 256), (128, 128), (128, 256))
        outcomes = [step(batch_of(*canvas), 0.01) for canvas in canvases]
        assert all(outcome.finite for outcome in outcomes)
        assert step.compilations == 2
        found[jit] = [outcome.losses for outcome in outcomes]
    for graph, compiled in zip(found[False], found[True]):
        for name, value in graph.items():
            np.testing.assert_allclose(compiled[name], value, rtol=1e-3, err_msg=name)
