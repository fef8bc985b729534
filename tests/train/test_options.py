"""Gradient accumulation and the average of the weights."""

import fake_family
import numpy as np
import pytest
import tensorflow as tf

from kdet.errors import ConfigError
from kdet.train import checkpoint

ALONE = tf.distribute.get_strategy()


@pytest.mark.parametrize("jit", ["off", "on"])
@pytest.mark.parametrize("norm", ["none", "frozen"])
def test_parts_of_a_batch_give_the_result_of_the_batch(norm, jit):
    """The images have different numbers of boxes, so a mean of the parts' losses would differ."""
    whole, a = fake_family.job(ALONE, steps=5, norm=norm, clip=0.5, size=8)
    parts, b = fake_family.job(ALONE, steps=5, norm=norm, clip=0.5, size=8, accumulate=4, jit=jit)
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-6, rtol=1e-5, err_msg=name)
    for x, y in zip(a["seen"], b["seen"], strict=True):
        assert x == pytest.approx(y, rel=1e-5)


def test_batch_norms_see_one_part_after_the_other():
    """The moving mean after two parts is that of two updates."""
    made = fake_family.trainer(ALONE, "batch", size=4, accumulate=2)
    batch = next(fake_family.batches(size=4))
    stem, norm = (made.network.get_layer(name) for name in ("stem", "norm"))
    mean = np.zeros(6)
    for part in (slice(0, 2), slice(2, 4)):
        features = stem(batch["image"][part]).numpy()
        mean = 0.8 * mean + 0.2 * features.mean(axis=(0, 1, 2))
    made.train_step(batch, 0.0)
    np.testing.assert_allclose(norm.moving_mean.numpy(), mean, atol=1e-6)


def test_a_batch_that_has_no_equal_parts_is_refused():
    with pytest.raises(ConfigError, match=r"Schedule.batch must be a multiple.*got 4 and 3"):
        fake_family.trainer(ALONE, size=4, accumulate=3)


def test_the_average_is_that_of_its_formula(tmp_path):
    """a = d a + (1 - d) w with d = min(0.9, step / (10 + step)), also over a restart."""
    made = fake_family.trainer(ALONE, "batch", ema=0.9)
    variables = {v.path: v for v in made.network.variables}
    wanted = dict.fromkeys(variables, 0.0)
    for report in made.train(fake_family.batches(), 12):
        decay = min(0.9, report.step / (10 + report.step))
        wanted = {n: decay * wanted[n] + (1 - decay) * v.numpy() for n, v in variables.items()}
        if report.step == 5:
            checkpoint.save(tmp_path / "half.npz", made, fake_family.ABOUT)
    weights = {name: v.numpy() for name, v in variables.items()}
    with made.averaged():
        for name, variable in variables.items():
            np.testing.assert_allclose(variable.numpy(), wanted[name], atol=1e-6, err_msg=name)
    for name, variable in variables.items():
        np.testing.assert_array_equal(variable.numpy(), weights[name])
    assert any(np.abs(weights[name] - wanted[name]).max() > 1e-4 for name in weights)

    again = fake_family.trainer(ALONE, "batch", ema=0.9)
    checkpoint.restore(tmp_path / "half.npz", again, fake_family.ABOUT)
    list(again.train(fake_family.batches(6), 12))
    for name, slot in again.slots.items():
        np.testing.assert_array_equal(slot.numpy(), made.slots[name].numpy(), err_msg=name)


def test_without_an_average_nothing_is_stored():
    made = fake_family.trainer(ALONE)
    assert made.average is None and not any(name.endswith("/ema") for name in made.slots)
