"""The rate at the reference batch equals the published step formulas; other batches follow it."""

import pytest

from kdet.config import Schedule, detectron
from kdet.errors import ConfigError
from kdet.train.optimizer import describe_schedule, learning_rate, scaled_base_lr


def published(step, base=0.01, warmup=500, factor=1 / 3):
    if step < warmup:
        return base * factor + (base - base * factor) * step / warmup
    return base if step < 60_000 else base * 0.1 if step < 80_000 else base * 0.01


@pytest.mark.parametrize("step", [0, 1, 250, 499, 500, 59_999, 60_000, 79_999, 80_000, 89_999])
def test_equals_the_published_schedule_at_batch_16(step):
    schedule = detectron("1x", base_lr=0.01)
    assert learning_rate(schedule, step * 16) == pytest.approx(published(step), rel=1e-12)


def test_hand_computed_numbers():
    schedule = Schedule(
        100, (40, 80), base_lr=0.3, batch=4, base_batch=4, warmup_images=20, gamma=0.5
    )
    rates = [learning_rate(schedule, i) for i in (0, 8, 19, 20, 39, 40, 79, 80)]
    assert rates == pytest.approx([0.1, 0.18, 0.29, 0.3, 0.3, 0.15, 0.15, 0.075])


def test_another_batch_scales_the_rate_and_keeps_the_milestones():
    schedule = detectron("1x", base_lr=0.01, batch=2)
    assert scaled_base_lr(schedule) == 0.00125
    assert schedule.steps == 720_000
    assert learning_rate(schedule, 2 * 4000) == pytest.approx(0.00125)  # warm-up: 8000 images
    assert learning_rate(schedule, 2 * 479_999) == pytest.approx(0.00125)
    assert learning_rate(schedule, 2 * 480_000) == pytest.approx(0.000125)
    assert "0.00125 at a global batch of 2" in describe_schedule(schedule)


def test_no_warmup_and_no_decay():
    schedule = Schedule(100, (), base_lr=0.1, warmup_images=0)
    assert learning_rate(schedule, 0) == learning_rate(schedule, 99) == 0.1
    assert describe_schedule(schedule).endswith("no warm-up, then constant")


def test_explicit_factors_replace_gamma():
    schedule = Schedule(
        100, (40, 80), base_lr=0.2, base_batch=16, warmup_images=0, milestone_factors=(0.5, 0.05)
    )
    rates = [learning_rate(schedule, i) for i in (0, 39, 40, 79, 80, 99)]
    assert rates == pytest.approx([0.2, 0.2, 0.1, 0.1, 0.01, 0.01])
    assert "x0.5 from 40, x0.05 from 80 images on" in describe_schedule(schedule)


def test_factors_must_be_one_per_entry_of_decay():
    with pytest.raises(ConfigError, match=r"one number per milestone \(2\); got 1"):
        Schedule(100, (40, 80), base_lr=0.2, milestone_factors=(0.5,))
