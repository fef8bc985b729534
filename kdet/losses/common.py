"""Loss functions several detectors share; all float32, unreduced."""

from keras import ops


def smooth_l1(difference, sigma):
    """0.5 (sigma d)^2 where |d| < 1 / sigma^2, |d| - 0.5 / sigma^2 elsewhere.

    (`smooth_l1_loss_op.h`; Girshick 2015 at sigma 1.) Any shape, same shape back.
    """
    size, beta = ops.abs(difference), 1.0 / sigma**2
    return ops.where(size < beta, 0.5 / beta * ops.square(difference), size - 0.5 * beta)


def focal_sum(logits, labels, alpha, gamma):
    """Sigmoid focal loss (Lin et al. 2017) of every row, summed over classes.

    Args:
        logits: (..., K).
        labels: (...) int32; 0..K-1, -1 background (all classes negative), below -1 ignored.
        alpha: weight of positives; negatives weigh 1 - alpha.
        gamma: exponent that fades out easy examples.
    Returns:
        (...) float32.
    """
    logits = ops.cast(logits, "float32")
    negatives = ops.sum(_negative(logits, alpha, gamma), axis=-1)
    # one class per row differs from the all-negative case: correct that one, touch K values once
    own = ops.maximum(labels, 0)
    x = ops.take_along_axis(logits, own[..., None], axis=-1)[..., 0]
    positive = alpha * (1 - ops.sigmoid(x)) ** gamma * ops.softplus(-x)
    correction = ops.where(labels >= 0, positive - _negative(x, alpha, gamma), 0.0)
    return ops.where(labels >= -1, negatives + correction, 0.0)


def _negative(x, alpha, gamma):
    return (1 - alpha) * ops.sigmoid(x) ** gamma * ops.softplus(x)
