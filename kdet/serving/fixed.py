"""A detector as a graph of fixed shapes, from which the files of other engines are made."""

from __future__ import annotations

from dataclasses import replace

import tensorflow as tf

from kdet.config import Data
from kdet.errors import ConfigError
from kdet.ops import graphs

STRIDE = 32  # pixels; features of neighbouring pyramid levels then have sizes of a ratio of 2


def fixed_data(data: Data, size=None) -> Data:
    """The settings of images with one canvas.

    Args:
        data: the settings of the detector.
        size: (height, width) of the canvas in pixels. None takes that of stretched images, and
            otherwise a square that images of all shapes fit on.
    Raises:
        ConfigError: the detector needs square images, or sides that are multiples of 32 pixels.
    """
    if data.resize == "stretch":
        height, width = size or (data.short_side, data.short_side)
        if height != width:
            raise ConfigError(f"this detector needs square images; got {height}x{width}")
        return replace(data, short_side=height, long_side=height)
    if size is None:
        longest = max(side for canvas in data.canvas_sizes() for side in canvas)
        side = -(-longest // STRIDE) * STRIDE
        return replace(data, canvases=((side, side),))
    height, width = size
    if height % STRIDE or width % STRIDE:
        raise ConfigError(f"expected multiples of {STRIDE} pixels; got {height}x{width}")
    short, long = min(height, width), max(height, width)
    return replace(data, short_side=short, long_side=long, canvases=((height, width),))


def raw_data(data: Data) -> Data:
    """The settings of images that are resized and padded, but keep their values of 0 to 255."""
    return replace(data, channels="RGB", mean=(0.0,) * 3, std=(1 / 255,) * 3)


class FixedDetector(tf.Module):
    """One image on one canvas -> its detections; the weights are tracked, so that they are saved.

    Inputs: image (1, H, W, 3) float32 RGB of 0..255, resized and padded right and below;
    original_size (1, 2) float32 h, w; and, where images are padded, resized_size (1, 2) float32.
    Outputs: boxes (1, N, 4) float32 xyxy in pixels of the original image, scores (1, N) float32 in
    descending order, labels (1, N) int32, num_detections (1,) int32[, masks (1, N, M, M) float32].

    Without NMS, N is the number of candidates, and unused ones have the score 0. There is no
    num_detections.

    Args:
        detector: `kdet.Detector` in float32.
        data: of `fixed_data`.
        nms: whether to apply NMS.
    Attributes:
        concrete: the traced function.
        inputs, outputs: names.
    """

    def __init__(self, detector, data: Data, nms: bool = True):
        super().__init__()
        # A function hides the Keras model, of which saving would trace every layer once more.
        self._network = lambda inputs: detector.model(inputs, training=False)
        self._data = data
        # TensorFlow's converters find only what a module tracks, and not the weights of Keras 3
        self.weights = [variable.value for variable in detector.model.variables]
        height, width = data.canvas_sizes()[-1]
        self._sizes = ("original_size",) + ("resized_size",) * (data.resize == "scale")
        signature = [tf.TensorSpec((1, height, width, 3), tf.float32, "image")]
        signature += [tf.TensorSpec((1, 2), tf.float32, name) for name in self._sizes]
        self.inputs = ("image", *self._sizes)
        with graphs.for_engines(nms):
            # An attribute that is a `tf.function` would be traced again by `tf.saved_model.save`.
            call = tf.function(self._call, signature, autograph=False)
            self.concrete = call.get_concrete_function()
        self.outputs = tuple(sorted(self.concrete.structured_outputs))

    def _call(self, image, original_size, resized_size=None):
        data = self._data
        height, width = image.shape[1:3]
        pixels = tf.reverse(image, [3]) if data.channels == "BGR" else image
        scale, offset = (tf.constant(values, tf.float32) for values in data.pixel_scale())
        pixels = pixels * scale + offset
        if resized_size is None:
            resized_size = tf.constant([[height, width]], tf.float32)
        else:
            # padding is 0 for the network
            high, wide = tf.split(tf.round(resized_size), 2, axis=1)
            rows = tf.range(height, dtype=tf.float32)[None, :] < high
            columns = tf.range(width, dtype=tf.float32)[None, :] < wide
            inside = rows[:, :, None, None] & columns[:, None, :, None]
            pixels = tf.where(inside, pixels, 0.0)
        inputs = {
            "image": pixels,
            "resized_size": resized_size,
            "original_size": original_size,
        }
        found = dict(self._network(inputs))
        valid = found.pop("valid")
        if not graphs.wants_candidates():
            found["num_detections"] = tf.reduce_sum(tf.cast(valid, tf.int32), axis=1)
        return {name: tf.identity(value, name=name) for name, value in found.items()}
