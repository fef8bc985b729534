"""Kernels that one backend alone has, where they pay; callers have a way without them."""

import keras


def has_resampler():
    """Whether `resample` works where this is called: TensorFlow, outside of XLA."""
    if keras.backend.backend() != "tensorflow":
        return False
    try:
        from tensorflow.python.framework import ops
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
    except ImportError:  # neither is public; without them nobody can tell, so better not
        return False
    return not GraphOrParentsInXlaContext(ops.get_default_graph())


def resample(features, level, start, step, count, mean):
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
