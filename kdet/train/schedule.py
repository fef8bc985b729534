"""The learning rate as a function of the images seen."""

from __future__ import annotations

from kdet.config import Schedule


def base_rate(schedule: Schedule) -> float:
    """The rate after warm-up and before any decay, scaled linearly to the real global batch."""
    return schedule.rate * schedule.batch / schedule.rate_batch


def learning_rate(schedule: Schedule, images: int) -> float:
    """The rate of the step that starts after `images` images.

    Rises linearly from `warmup_factor` of the base rate over the first `warmup` images; is
    multiplied by `gamma` for every entry of `decay` that `images` has reached, or by the one of
    `factors` that stands at the last of them.

    Args:
        schedule: lengths in images.
        images: images seen before the step: step number (from 0) times global batch.
    """
    rate = base_rate(schedule)
    if images < schedule.warmup:
        start = rate * schedule.warmup_factor
        return start + (rate - start) * images / schedule.warmup
    passed = sum(images >= milestone for milestone in schedule.decay)
    if schedule.factors:
        return rate * (1.0, *schedule.factors)[passed]
    return rate * schedule.gamma**passed


def describe(schedule: Schedule) -> str:
    """One line for the start of a run: the resolved rate and where it comes from."""
    warmup = f"warm-up over {schedule.warmup} images" if schedule.warmup else "no warm-up"
    factors = schedule.factors or [schedule.gamma ** (k + 1) for k in range(len(schedule.decay))]
    steps = ", ".join(f"x{f:g} from {at}" for f, at in zip(factors, schedule.decay))
    return (
        f"learning rate {base_rate(schedule):g} at a global batch of {schedule.batch} "
        f"({schedule.rate:g} per {schedule.rate_batch} images); {warmup}, "
        + (f"{steps} images on" if steps else "then constant")
    )
