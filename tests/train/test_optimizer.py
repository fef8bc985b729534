"""The update against numbers worked out by hand and against a NumPy loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdet.config import DETECTRON_GROUPS, Optimizer, ParamGroup
from kdet.errors import ConfigError
from kdet.train.optimizer import Momentum, RMSProp, make_optimizer, param_group


def variable(value, name):
    layer = keras.layers.Layer(name=name.split("/")[0])
    made = layer.add_weight(shape=np.shape(value), name=name.split("/")[1])
    made.assign(value)
    return made


def test_three_steps_by_hand():
    """p = 1, g = 1, momentum 0.9, decay 0.1; the rate warms up 0.1 -> 0.2 and decays to 0.02.

    v1 = 1 + 0.1 = 1.1                      p1 = 1 - 0.11       = 0.89
    v2 = 0.99 + 1 + 0.089 = 2.079           p2 = 0.89 - 0.4158  = 0.4742
    v3 = 1.8711 + 1.04742 = 2.91852         p3 = 0.4742 - 0.0583704 = 0.4158296
    With the rate inside the buffer p3 would be 0.4742 - (0.9 * 0.4068 + 0.0209484) = 0.0871316.
    """
    p = variable(1.0, "conv/kernel")
    optimizer = Momentum([p], Optimizer(momentum=0.9, weight_decay=0.1))
    seen = []
    for rate in (0.1, 0.2, 0.02):
        optimizer.apply([tf.constant(1.0)], tf.constant(rate))
        seen.append((float(optimizer.slots["conv/kernel"].numpy()), float(p.numpy())))
    np.testing.assert_allclose(
        seen, [(1.1, 0.89), (2.079, 0.4742), (2.91852, 0.4158296)], rtol=1e-6
    )


def test_equals_a_numpy_loop_with_rules():
    rng = np.random.default_rng(0)
    start = {"conv/kernel": rng.normal(size=(3, 2)), "conv/bias": rng.normal(size=2)}
    config = Optimizer(
        momentum=0.8, weight_decay=0.05, param_groups=(ParamGroup("/bias$", 2.0, 0.0),)
    )
    variables = [variable(value, name) for name, value in start.items()]
    optimizer = Momentum(variables, config)
    weights, slots = dict(start), {name: 0.0 for name in start}
    for step in range(5):
        rate = 0.1 / (step + 1)
        gradients = {name: rng.normal(size=value.shape) for name, value in start.items()}
        for name in weights:
            mult, decay = (2.0, 0.0) if name == "conv/bias" else (1.0, 0.05)
            slots[name] = 0.8 * slots[name] + gradients[name] + decay * weights[name]
            weights[name] = weights[name] - mult * rate * slots[name]
        optimizer.apply(
            [tf.constant(g, "float32") for g in gradients.values()], tf.constant(rate, "float32")
        )
    for v in variables:
        np.testing.assert_allclose(v.numpy(), weights[v.path], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(optimizer.slots[v.path].numpy(), slots[v.path], rtol=1e-5)


@pytest.mark.parametrize(
    "path, rate, decay",
    [
        ("conv/kernel", 1, 1),
        ("fpn/bias", 2, 0),
        ("bn/gamma", 1, 0),
        ("bn/beta", 1, 0),
        ("gamma/kernel", 1, 1),
    ],
)
def test_first_matching_rule_wins(path, rate, decay):
    assert (
        param_group(path, DETECTRON_GROUPS).lr_multiplier,
        param_group(path, DETECTRON_GROUPS).weight_decay_multiplier,
    ) == (
        rate,
        decay,
    )
    assert param_group(path, (ParamGroup(".", 7.0), *DETECTRON_GROUPS)).lr_multiplier == 7.0


def test_rmsprop_two_steps_by_hand():
    """p = 1, rho 0.75, epsilon 0.09 inside the root, decay 0.1, rate of this variable halved.

    g1 = 0.7 + 0.1 = 0.8     s1 = 0.25 * 0.64 = 0.16            p1 = 1 - 0.05 * 0.8 / 0.5 = 0.92
    g2 = 0 + 0.092           s2 = 0.12 + 0.25 * 0.008464 = 0.122116
                             p2 = 0.92 - 0.05 * 0.092 / sqrt(0.212116) = 0.9100122
    With epsilon outside the root p1 would be 1 - 0.04 / 0.49 = 0.9183673.
    """
    p = variable(1.0, "conv/kernel")
    config = Optimizer(
        "rmsprop", 0.0, 0.75, 0.09, weight_decay=0.1, param_groups=(ParamGroup("kernel", 0.5),)
    )
    optimizer = make_optimizer([p], config)
    assert isinstance(optimizer, RMSProp)
    seen = []
    for gradient in (0.7, 0.0):
        optimizer.apply([tf.constant(gradient)], tf.constant(0.1))
        square = optimizer.slots["conv/kernel/mean_square"]
        seen.append((float(square.numpy()), float(p.numpy())))
    np.testing.assert_allclose(seen, [(0.16, 0.92), (0.122116, 0.9100122)], rtol=1e-6)


def test_rmsprop_momentum_keeps_the_rate_inside_its_buffer():
    """g = 1, s = 0.25 then 0.4375: m1 = 0.1 / 0.5 = 0.2, m2 = 0.5 * 0.2 + 0.3 / sqrt(0.4375)."""
    p = variable(0.0, "conv/kernel")
    optimizer = make_optimizer([p], Optimizer("rmsprop", 0.5, 0.75, 0.0, weight_decay=0.0))
    for rate in (0.1, 0.3):
        optimizer.apply([tf.constant(1.0)], tf.constant(rate))
    expected = 0.1 + 0.3 / 0.4375**0.5
    assert float(optimizer.slots["conv/kernel/momentum"].numpy()) == pytest.approx(expected)
    assert float(p.numpy()) == pytest.approx(-0.2 - expected)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="Optimizer.kind must be one of 'momentum', 'rmsprop'"):
        Optimizer("adam")
