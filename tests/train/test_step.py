"""One replica: compiled equals uncompiled, compilations are counted, float16 scales its loss."""

import fake_family
import keras
import numpy as np
import pytest
import tensorflow as tf

from kdet.errors import ConfigError, NotFiniteError
from kdet.train.distribution import resolve_jit
from kdet.train.trainer import LossScale, set_precision

ALONE = tf.distribute.get_strategy()


@pytest.mark.parametrize("norm", ["none", "frozen", "batch"])
def test_compiled_equals_uncompiled_and_compiles_once_a_canvas(norm):
    (plain, a), (compiled, b) = (
        fake_family.job(ALONE, steps=6, norm=norm, jit=jit) for jit in ("off", "on")
    )
    for name in plain:
        np.testing.assert_allclose(compiled[name], plain[name], atol=1e-5, rtol=1e-5, err_msg=name)
    for x, y in zip(a["seen"], b["seen"]):
        assert x == pytest.approx(y, rel=1e-5)
    assert len(a["seen"]) == len(b["seen"]) == 6
    assert b["compilations"] == len(fake_family.CANVASES)


def test_one_step_by_hand():
    """y = w x with w = 2: loss (2 * 3 - 1)^2 / 5 = 5, gradient 2 * 5 * 3 / 5 = 6."""
    image = keras.Input((1,))
    net = keras.Model(image, {"y": keras.layers.Dense(1, use_bias=False, name="w")(image)})
    net.layers[-1].kernel.assign([[2.0]])
    made = fake_family.Trainer(
        net,
        lambda batch: ({"y": batch["truth"]}, {"n": tf.constant(5.0)}),
        lambda raw, t, n: {"square": tf.reduce_sum((raw["y"] - t["y"]) ** 2) / n["n"]},
        fake_family.Schedule(10, (), base_lr=0.1, batch=1, base_batch=1, warmup_images=0),
        fake_family.Optimizer(weight_decay=0.0, clip_norm=3.0),
        ALONE,
    )
    outcome = made.train_step({"image": tf.constant([[3.0]]), "truth": tf.constant([[1.0]])}, 0.1)
    assert outcome.losses == {"square": 5.0} and outcome.norm == 6.0 and outcome.finite
    assert net.layers[-1].kernel.numpy() == pytest.approx(2.0 - 0.1 * 3.0)  # clipped to 3


def test_frozen_parts_stay_and_frozen_statistics_too():
    made = fake_family.trainer(ALONE, "frozen")
    before = {v.path: v.numpy() for v in made.network.variables}
    list(made.train(fake_family.batches(), 3))
    changed = {v.path for v in made.network.variables if not np.array_equal(v, before[v.path])}
    assert changed == {f"{n}/{p}" for n in ("body", "class", "box") for p in ("kernel", "bias")}


def test_a_variable_without_gradient_is_named():
    def only_boxes(raw, targets, counts):
        return {"box": fake_family.losses(raw, targets, counts)["box"]}

    made = fake_family.trainer(ALONE, losses=only_boxes)
    with pytest.raises(ConfigError, match="no gradient reaches.*class/kernel, class/bias"):
        next(made.train(fake_family.batches(), 1))


def test_data_that_ends_early_is_an_error():
    made = fake_family.trainer(ALONE)
    batches = fake_family.batches()
    with pytest.raises(ConfigError, match="ended at step 2 of 3"):
        list(made.train([next(batches), next(batches)], 3))


def test_auto_jit_is_off_on_cpus_and_plain_norms_are_refused_on_replicas():
    class Two:
        num_replicas_in_sync = 2

    assert resolve_jit("auto", fake_family.network("batch"), ALONE) == (
        False,
        "the default on CPUs",
    )
    assert resolve_jit("on", fake_family.network("frozen"), Two) == (True, "--jit on")
    assert resolve_jit("auto", fake_family.network("batch"), Two)[0] is False
    with pytest.raises(ConfigError, match="1 batch normalisations train on 2 replicas"):
        resolve_jit("on", fake_family.network("batch"), Two)
    image = keras.Input((4, 4, 3))
    plain = keras.Model(image, keras.layers.BatchNormalization()(image))
    with pytest.raises(ConfigError, match="synchronized=True"):
        resolve_jit("off", plain, Two)


def test_loss_scale_halves_and_doubles():
    scale = LossScale(8.0, growth=3)
    seen = []
    for finite in (True, True, False, True, True, True, True):
        scale.update(finite)
        seen.append((scale.value, scale.good))
    assert seen == [(8, 1), (8, 2), (4, 0), (4, 1), (4, 2), (8, 0), (8, 1)]


@pytest.fixture
def policy():
    yield set_precision
    set_precision("fp32")


def test_float16_overflow_skips_the_step_and_halves_the_scale(policy):
    policy("fp16")
    made = fake_family.trainer(ALONE, "batch", precision="fp16")
    assert made.network.get_layer("body").compute_dtype == "float16"
    made.loss_scale.value = 2.0**24  # far beyond what float16 gradients can hold
    before = fake_family.snapshot(made, ALONE)
    steps = made.train(fake_family.batches(), 30)
    report = next(steps)
    assert not report.applied and np.isfinite(list(report.losses.values())).all()
    assert made.loss_scale.value == 2.0**23
    for name, value in fake_family.snapshot(made, ALONE).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    applied = [report.applied for report in steps]
    assert applied[-1] and not applied[0]
    assert made.loss_scale.value == 2.0 ** (23 - applied.count(False))
    moved = fake_family.snapshot(made, ALONE)
    assert not np.array_equal(moved["norm/moving_mean:0"], before["norm/moving_mean:0"])


def test_float16_stops_when_no_scale_helps(policy):
    policy("fp16")
    made = fake_family.trainer(ALONE, precision="fp16")
    made.loss_scale.value = 4.0
    poisoned = (fake_family.batch(0, poison=(0, 1, "boxes")) for _ in range(9))
    with pytest.raises(NotFiniteError, match="step 2: loss 'box' is nan"):
        list(made.train(({k: tf.constant(v) for k, v in b.items()} for b in poisoned), 9))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_follows_float32(policy, precision):
    full, _ = fake_family.job(ALONE, steps=5)
    policy(precision)
    made = fake_family.trainer(ALONE, precision=precision)
    start = {v.path: v.numpy() for v in made.network.variables}
    made.loss_scale.value = 64.0 if precision == "fp16" else 1.0
    assert all(report.applied for report in made.train(fake_family.batches(), 5))
    for variable in made.network.variables:
        expected, found = full[f"{variable.path}:0"], variable.numpy()
        assert found.dtype == np.float32
        moved = np.linalg.norm(expected - start[variable.path])
        assert np.linalg.norm(found - expected) < 0.05 * moved, variable.path


def test_unknown_precision():
    with pytest.raises(ConfigError, match="fp32, bf16, fp16"):
        set_precision("fp8")
