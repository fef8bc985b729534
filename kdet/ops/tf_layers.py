"""Norms, sums and convolutions that are faster on TensorFlow, which layers use there only."""

import functools
import os
from pathlib import Path

import keras
from keras import ops

from kdet.ops import graphs, tf_kernels

# TensorFlow uses oneDNN by default on processors with one of these (`DefaultOneDnnPolicy`, port.cc)
_FOR_ONEDNN = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}


def conv_parts(shape):
    """The number of groups of filters into which a convolution of one image should be split.

    With AVX-512, oneDNN takes up to twice as long for a 3x3 convolution of many channels as for the
    same filters in groups of 64 or 80 (see docs/benchmarks.md). Otherwise groups are slower.

    Args:
        shape: (k, k, C, F) of the kernel.
    Returns:
        A divisor of F. 1: run the convolution as it is.
    """
    size, _, channels, filters = shape
    if size != 3 or min(channels, filters) < 256 or not on_cpu() or onednn() != "avx512":
        return 1
    return next(n for n in range(1, filters + 1) if filters % n == 0 and filters // n <= 80)


def avoids_onednn() -> bool:
    """Whether inference should use `eigen_conv`: oneDNN runs on a processor without AVX-512.

    There, oneDNN takes up to three times as long for one image, and ten times as long if TensorFlow
    has merged a batch norm into the convolution (see docs/benchmarks.md). Its norms are slow, too.
    """
    return on_cpu() and onednn() == "avx2"


def eigen_conv(inputs, kernel, strides, padding, dilation_rate=(1, 1)):
    """`keras.ops.conv` of maps (B, H, W, C) by Eigen, also if TensorFlow uses oneDNN.

    strides and dilation_rate are pairs, and padding is "same" or "valid".
    """
    import tensorflow as tf

    settings = {"strides": [1, *strides, 1], "dilations": [1, *dilation_rate, 1]}
    settings["padding"] = padding.upper()

    @tf.custom_gradient  # TensorFlow has no gradient of `Conv`
    def conv(x, kernel):
        def gradients(y):
            of_x = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=y, **settings
            )
            return of_x, tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=tf.shape(kernel), out_backprop=y, **settings
            )

        return tf.raw_ops.Conv(input=x, filter=kernel, **settings), gradients

    return conv(inputs, tf.convert_to_tensor(kernel))


@functools.cache
def onednn() -> str:
    """The instructions that oneDNN uses: "amx" (with bf16), "avx512", "avx2", or "" without it."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text("utf-8").split())
    except OSError:  # not Linux
        return ""
    default = str(bool(flags & _FOR_ONEDNN))
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS", default).lower() in ("0", "false"):
        return ""
    held = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()
    if "avx512f" not in flags or held == "AVX" or held.startswith(("SSE", "AVX2")):
        return "avx2" if "avx2" in flags else ""
    bf16 = os.environ.get("ONEDNN_DEFAULT_FPMATH_MODE", "").upper() in ("BF16", "ANY")
    return "amx" if bf16 and "amx_bf16" in flags and not held.startswith("AVX512") else "avx512"


def on_cpu():
    """Whether a graph of TensorFlow is being traced that runs here, on a CPU and without XLA."""
    if keras.backend.backend() != "tensorflow" or graphs.portable() or tf_kernels.inside_xla():
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def add(first, second):
    """The sum of two maps of equal shape (B, H, W, C).

    On a CPU, it is an operation that TensorFlow merges with the convolution before it, its bias and
    a ReLU. For the usual sum, the graph optimiser needs sizes that it knows to be equal, and images
    have any size here.
    """
    if not on_cpu():
        return ops.add(first, second)
    import tensorflow as tf

    return tf.add_n([first, second])


def strided_depthwise(inputs, kernel, strides):
    """A depthwise convolution with (k - 1) // 2 zeros on all sides, without a padded copy.

    inputs (B, H, W, C), kernel (k, k, C, 1) -> (B, ceil(H / strides), ceil(W / strides), C).
    """
    import tensorflow as tf

    side = [kernel.shape[0] // 2] * 2
    padding = [[0, 0], side, side, [0, 0]]
    return tf.nn.depthwise_conv2d(inputs, kernel, [1, strides, strides, 1], padding)


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
    if tf.config.list_logical_devices("GPU"):
        given = {"scale": gamma, "offset": beta, "epsilon": epsilon}
        none = tf.zeros([0])
        found = tf.raw_ops.FusedBatchNormV3(x=inputs, mean=none, variance=none, **given)
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        # the kernel returns the unbiased variance, but the reference uses the biased one
        return found.y, found.batch_mean, found.batch_variance * (count - 1) / tf.maximum(count, 1)

    # On a CPU, the kernel loses two digits in its sums over large maps. Here each row is summed
    # first, which is also faster. The kernel's gradient still applies.
    @tf.custom_gradient
    def normalised(x, scale, offset):
        mean, variance = _moments(tf.cast(x, tf.float32))

        def gradient(upstream, *_):  # no loss depends on the statistics themselves
            found = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=upstream,
                x=x,
                scale=scale,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.zeros([0]),
                epsilon=epsilon,
            )
            return found.x_backprop, found.scale_backprop, found.offset_backprop

        return (_normalised(x, scale, offset, mean, variance, epsilon), mean, variance), gradient

    return normalised(inputs, gamma, beta)


def _normalised(x, scale, offset, mean, variance, epsilon):
    import tensorflow as tf

    if avoids_onednn() and x.dtype == tf.float32:
        # oneDNN's kernel takes twice as long as these operations there
        scale = scale * tf.math.rsqrt(variance + epsilon)
        return x * scale + (offset - mean * scale)
    given = {"scale": scale, "offset": offset, "mean": mean, "variance": variance}
    return tf.raw_ops.FusedBatchNormV3(x=x, **given, epsilon=epsilon, is_training=False).y


def _moments(x):
    """Mean and biased variance, (C,) float32 each, of a map (B, H, W, C) float32."""
    import tensorflow as tf

    mean = tf.reduce_mean(tf.reduce_mean(x, axis=2), axis=[0, 1])
    if tf_kernels.inside_xla():  # it has no kernel for the norm
        squares = tf.reduce_sum(tf.square(x), axis=2)
    else:  # no map of squares is written, which takes half the time
        squares = tf.square(tf.math.reduce_euclidean_norm(x, axis=2))
    squares = tf.reduce_mean(squares, axis=[0, 1]) / tf.cast(tf.shape(x)[2], tf.float32)
    return mean, tf.maximum(squares - mean**2, 0.0)
