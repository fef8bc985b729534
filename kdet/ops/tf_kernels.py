"""The one file that knows the backends: compiled calls, and kernels that only TensorFlow has.

Callers of the kernels have another way where a kernel is missing.
"""

import contextlib
import contextvars

import keras

_PORTABLE = contextvars.ContextVar("portable", default=False)


def has_crop_and_resize():
    """Whether `crop_and_resize_align` works where this is called: TensorFlow, outside of XLA."""
    return keras.backend.backend() == "tensorflow" and not _inside_xla()


def _inside_xla():
    try:
        from tensorflow.python.framework import ops
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
    except ImportError:  # neither is public; without them nobody can tell, so better not
        return True
    return GraphOrParentsInXlaContext(ops.get_default_graph())


@contextlib.contextmanager
def without_xla():
    """Graphs traced inside hold nothing that a runtime without XLA cannot run."""
    token = _PORTABLE.set(True)
    try:
        yield
    finally:
        _PORTABLE.reset(token)


def xla_compiled(function, *tensors):
    """`function(*tensors)`, by XLA where TensorFlow traces a graph that is not XLA's as a whole.

    For many small steps over small tensors, whose dispatch costs more than the work. Every new
    shape is compiled, when it first runs; no gradient passes.
    """
    if keras.backend.backend() != "tensorflow" or _PORTABLE.get():
        return function(*tensors)
    import tensorflow as tf

    if tf.executing_eagerly() or _inside_xla():
        return function(*tensors)
    return tf.function(function, jit_compile=True, autograph=False)(*tensors)


def crop_and_resize_align(features, level, start, step, count, mean):
    """Bilinear samples on regular grids, averaged: a RoIAlign whose boxes differ in their maps.

    Args:
        features: list of (B, h, w, C) maps.
        level: (B, N) int32, the map of every box.
        start: (B, N, 2) float32 x, y of a box's first sample, in cells.
        step: (B, N, 2) float32 distance of samples.
        count: samples per axis.
        mean: neighbours per axis that are averaged; divides `count`.
    Returns:
        (B, N, count / mean, count / mean, C) float32. Samples up to one cell outside take the
        border's value, those further out are 0.
    """
    import tensorflow as tf

    batch, boxes = tf.shape(level)[0], tf.shape(level)[1]
    image = tf.repeat(tf.range(batch), boxes)
    level, start, step = (
        tf.reshape(level, [-1]),
        tf.reshape(start, (-1, 2)),
        tf.reshape(step, (-1, 2)),
    )
    parts, places = [], []
    for number, maps in enumerate(features):
        place = tf.where(level == number)[:, 0]
        # the border once more on all sides: between it and its copy its value holds
        maps = tf.pad(tf.cast(maps, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
        first = tf.gather(start, place) + 1
        last = first + tf.gather(step, place) * (count - 1)
        ends = tf.concat([first[:, ::-1], last[:, ::-1]], axis=1)
        ends /= tf.cast(tf.tile(tf.shape(maps)[1:3] - 1, [2]), tf.float32)
        crops = tf.image.crop_and_resize(maps, ends, tf.gather(image, place), (count, count))
        parts.append(tf.nn.avg_pool2d(crops, mean, mean, "VALID"))
        places.append(tf.cast(place, tf.int32))
    pooled = tf.dynamic_stitch(places, parts)
    side = count // mean
    return tf.reshape(pooled, (batch, boxes, side, side, features[0].shape[-1]))


def has_fused_norm(alone):
    """Whether `fused_norm` gives the statistics wanted: on TensorFlow, in training on one replica.

    Args:
        alone: the batch's own statistics are wanted, which several replicas would have to exchange.
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
        outputs like inputs; mean and biased variance used, (C,) float32.
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
    # the kernel gives the unbiased variance, which the reference does not use
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
    """The CPU's training kernel sums a channel in one go, which costs two digits on large maps.

    Here the sums go by rows first; that takes no longer, and the kernel's gradient still fits.
    """
    import tensorflow as tf

    def mean_of(x):
        return tf.reduce_mean(tf.reduce_mean(tf.cast(x, tf.float32), axis=2), axis=[0, 1])

    @tf.custom_gradient
    def normalised(inputs, gamma, beta):
        mean = mean_of(inputs)
        variance = tf.maximum(mean_of(tf.square(tf.cast(inputs, tf.float32))) - mean**2, 0.0)

        def gradient(upstream, *_):  # nothing learns from the statistics themselves
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


def compiled(model):
    """`model` as a compiled function of one nested input.

    On TensorFlow the graph keeps unknown batch and image sizes, so a new size costs no new trace;
    on JAX every size is compiled once.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = {
            tensor.name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, tensor.name)
            for tensor in model.inputs
        }
        return tf.function(lambda inputs: model(inputs, training=False), [signature])
    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(
            lambda trainable, fixed, inputs: model.stateless_call(
                trainable, fixed, inputs, training=False
            )[0]
        )

        def run(inputs):
            trainable = [v.value for v in model.trainable_variables]
            fixed = [v.value for v in model.non_trainable_variables]
            return call(trainable, fixed, inputs)

        return run
    raise RuntimeError(f"kdet runs on tensorflow or jax; got {keras.backend.backend()!r}")
