"""Anchors of a feature map as a layer, so that they follow the image's size."""

import keras
from keras import ops

from kdet.ops import anchors as anchor_ops


@keras.saving.register_keras_serializable("kdet")
class RetinaAnchors(keras.layers.Layer):
    """RetinaNet's anchors: {"P3": (B, h, w, C), ...} -> {"P3": (h * w * 9, 4) float32, ...}.

    Boxes are xyxy half-open pixels of the padded image, not clipped; see `ops.anchors`.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, pyramid):
        anchors = {}
        for name, features in pyramid.items():
            height, width = ops.shape(features)[1:3]
            anchors[name] = anchor_ops.retina_grid(height, width, anchor_ops.RETINA_STRIDES[name])
        return anchors

    def compute_output_shape(self, pyramid_shape):
        return {
            name: (None if None in shape[1:3] else 9 * shape[1] * shape[2], 4)
            for name, shape in pyramid_shape.items()
        }
