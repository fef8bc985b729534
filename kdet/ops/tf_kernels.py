"""Compiled calls, and kernels that only TensorFlow has.

Besides `tf_layers`, no other file of the backend-independent core imports TensorFlow or JAX. Every
caller of a kernel has an alternative for backends without it.
"""

import keras

from kdet.ops import graphs


def has_crop_and_resize():
    """Whether `crop_and_resize_align` works here, which needs TensorFlow outside XLA."""
    tensorflow = keras.backend.backend() == "tensorflow"
    return tensorflow and not graphs.for_other_engines() and not inside_xla()


def inside_xla() -> bool:
    """Whether the graph that is being traced will be compiled by XLA."""
    try:
        from tensorflow.python.framework import ops
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
    except ImportError:  # both names are private; if they disappear, the slower path is safe
        return True
    return GraphOrParentsInXlaContext(ops.get_default_graph())


def leading_count(used, most):
    """How many leading columns hold every used entry of the first `most` columns, at least 1.

    With fixed shapes, as in XLA, this is `most`. In a plain TensorFlow graph it is a () int32
    tensor, so that work for unused entries can be left out.

    Args:
        used: (B, N) bool, where the used entries of a row come first.
        most: int, at most N.
    """
    if keras.backend.backend() != "tensorflow" or inside_xla():
        return most
    import tensorflow as tf

    counts = tf.reduce_sum(tf.cast(used[:, :most], tf.int32), axis=1)
    return tf.maximum(tf.reduce_max(counts), 1)


def nms_of_one(boxes, scores, iou_threshold, keep):
    """Greedy NMS of the boxes of one image, as one operation that other engines know.

    Args:
        boxes: (N, 4) float32.
        scores: (N,) float32; -inf marks boxes that must not be taken.
        iou_threshold: boxes with a strictly larger IoU are dropped.
        keep: number of boxes to keep.
    Returns:
        (keep,) int32 indices by descending score, 0 in unused entries, and the number of used ones.
    """
    import tensorflow as tf

    found = tf.raw_ops.NonMaxSuppressionV4(
        boxes=boxes,
        scores=scores,
        max_output_size=keep,
        iou_threshold=iou_threshold,
        score_threshold=-1e9,
        pad_to_max_output_size=True,
    )
    return found.selected_indices, found.valid_outputs


def xla_compiled(function, *tensors):
    """Calls `function(*tensors)`, compiled by XLA inside a TensorFlow graph without XLA.

    Use it for many small operations, whose dispatch costs more than the arithmetic. Each new shape
    is compiled on its first run. No gradient passes.
    """
    if keras.backend.backend() != "tensorflow" or graphs.portable():
        return function(*tensors)
    import tensorflow as tf

    if tf.executing_eagerly() or inside_xla():
        return function(*tensors)
    return tf.function(function, jit_compile=True, autograph=False)(*tensors)


def crop_and_resize_align(features, level, start, step, count, mean):
    """RoIAlign from bilinear samples on a regular grid, where each box uses one of several maps.

    Args:
        features: list of (B, h, w, C) maps.
        level: (B, N) int32, index of the map of every box.
        start: (B, N, 2) float32 x, y of a box's first sample, in cells.
        step: (B, N, 2) float32 distance between samples, in cells.
        count: samples per axis, a multiple of `mean`.
        mean: number of neighbouring samples per axis that are averaged.
    Returns:
        (B, N, count / mean, count / mean, C) float32. A sample up to one cell outside the map takes
        the value at the border, and a sample farther outside is 0.
    """
    import tensorflow as tf

    batch, boxes = tf.shape(level)[0], tf.shape(level)[1]
    image = tf.repeat(tf.range(batch), boxes)
    level = tf.reshape(level, [-1])
    start, step = tf.reshape(start, (-1, 2)), tf.reshape(step, (-1, 2))
    parts, places = [], []
    for number, maps in enumerate(features):
        place = tf.where(level == number)[:, 0]
        # repeats the border, so that a sample up to one cell outside takes its value; this takes
        # less than half the time of tf.pad
        maps = tf.cast(maps, tf.float32)
        maps = tf.concat([maps[:, :, :1], maps, maps[:, :, -1:]], axis=2)
        maps = tf.concat([maps[:, :1], maps, maps[:, -1:]], axis=1)
        first = tf.gather(start, place) + 1
        last = first + tf.gather(step, place) * (count - 1)
        # crop_and_resize wants (y, x) as fractions of the last cell
        ends = tf.concat([first[:, ::-1], last[:, ::-1]], axis=1)
        ends /= tf.cast(tf.tile(tf.shape(maps)[1:3] - 1, [2]), tf.float32)
        crops = tf.image.crop_and_resize(maps, ends, tf.gather(image, place), (count, count))
        parts.append(tf.nn.avg_pool2d(crops, mean, mean, "VALID"))
        places.append(tf.cast(place, tf.int32))
    pooled = tf.dynamic_stitch(places, parts)  # in the order of the boxes again
    side = count // mean
    return tf.reshape(pooled, (batch, boxes, side, side, features[0].shape[-1]))


def compiled(model):
    """`model` as a compiled function of one nested input.

    The TensorFlow graph has unknown batch and image sizes, so a new size needs no new trace. JAX
    compiles once for every size.
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
