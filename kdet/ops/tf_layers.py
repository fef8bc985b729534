"""Fused norms and sums, and split convolutions, which layers use on TensorFlow only."""

import functools
import os
from pathlib import Path

import keras

from kdet.ops import graphs, tf_kernels


def conv_parts(kernel_size, filters):
    """The number of groups of filters into which a convolution of one image should be split.

    On processors with AVX-512, oneDNN takes up to twice as long for a 3x3 convolution of 512 or
    more filters as for the same filters in groups of 64 or 80 (see docs/benchmarks.md). Without
    AVX-512 it is the other way round.

    Args:
        kernel_size, filters: of the convolution.
    Returns:
        A divisor of `filters`. 1: run the convolution as it is.
    """
    if kernel_size != 3 or filters < 512 or not (on_cpu() and _uses_avx512()):
        return 1
    return next(n for n in range(1, filters + 1) if filters % n == 0 and filters // n <= 80)


def on_cpu():
    """Whether a graph of TensorFlow is being traced that runs here, on a CPU and without XLA."""
    if keras.backend.backend() != "tensorflow" or graphs.portable() or tf_kernels.inside_xla():
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


@functools.cache
def _uses_avx512():
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return False
    if not os.environ.get("ONEDNN_MAX_CPU_ISA", "AVX512").upper().startswith("AVX512"):
        return False
    try:
        return " avx512f " in Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return False


def add(tensors):
    """The sum of tensors of equal shape, as an operation that TensorFlow merges with neighbours.

    The merged operation is a convolution with its bias, the sum and a ReLU. With the usual sum, the
    graph optimiser needs sizes that it knows to be equal, and images have any size here.
    """
    import tensorflow as tf

    return tf.add_n(tensors)


def has_fused_norm(alone):
    """Whether `fused_norm` can be used: on TensorFlow, and in training with one replica only.

    Args:
        alone: True for the statistics of the batch, which several replicas would have to exchange.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not alone or tf.distribute.get_strategy().num_replicas_in_sync == 1


def fused_norm(inputs, gamma, beta, statistics, epsilon):
    """Batch normalisation over all axes but the last.

    Args:
        inputs: (B, H, W, C) floating point.
        gamma, beta: (C,) float32.
        statistics: mean and variance, (C,) float32 each, or None for those of `inputs`.
        epsilon: added to the variance.
    Returns:
        outputs with the shape and dtype of inputs; the mean and biased variance, (C,) float32.
    """
    import tensorflow as tf

    gamma, beta = (tf.cast(tf.convert_to_tensor(x), tf.float32) for x in (gamma, beta))
    if statistics is not None:
        mean, variance = (tf.convert_to_tensor(x) for x in statistics)
        return _normalised(inputs, gamma, beta, mean, variance, epsilon), mean, variance
    if not tf.config.list_logical_devices("GPU"):
        return _with_exact_moments(inputs, gamma, beta, epsilon)
    found = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=gamma,
        offset=beta,
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        epsilon=epsilon,
    )
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
    # the kernel returns the unbiased variance, but the reference uses the biased one
    return found.y, found.batch_mean, found.batch_variance * (count - 1) / tf.maximum(count, 1)


def _normalised(inputs, gamma, beta, mean, variance, epsilon):
    import tensorflow as tf

    return tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=gamma,
        offset=beta,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=False,
    ).y


def _with_exact_moments(inputs, gamma, beta, epsilon):
    """Batch norm in training on a CPU, whose kernel loses two digits in sums over large maps.

    Here each row is summed first. This takes no longer, and the kernel's gradient still applies.
    """
    import tensorflow as tf

    def mean_of(x):
        return tf.reduce_mean(tf.reduce_mean(tf.cast(x, tf.float32), axis=2), axis=[0, 1])

    @tf.custom_gradient
    def normalised(inputs, gamma, beta):
        mean = mean_of(inputs)
        variance = tf.maximum(mean_of(tf.square(tf.cast(inputs, tf.float32))) - mean**2, 0.0)

        def gradient(upstream, *_):  # no loss depends on the statistics themselves
            found = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=upstream,
                x=inputs,
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.zeros([0]),
                epsilon=epsilon,
            )
            return found.x_backprop, found.scale_backprop, found.offset_backprop

        return (
            (_normalised(inputs, gamma, beta, mean, variance, epsilon), mean, variance),
            gradient,
        )

    return normalised(inputs, gamma, beta)
