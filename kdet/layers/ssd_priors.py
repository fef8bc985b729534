"""SSD's prior boxes as a layer, so that they follow the image's size."""

import keras
from keras import ops

from kdet.ops import ssd


@keras.saving.register_keras_serializable("kdet")
class SSDPriors(keras.layers.Layer):
    """(six maps (B, h, w, C), image (B, H, W, 3)) -> (P, 4) float32 xyxy fractions of the image.

    Args:
        sizes: sides in pixels; see `ops.ssd.priors`.
    """

    def __init__(self, sizes, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.sizes = tuple(sizes)

    def call(self, maps, image):
        sides = [ops.shape(features)[1:3] for features in maps]
        return ssd.priors(sides, ops.shape(image)[1:3], self.sizes)

    def compute_output_shape(self, maps_shape, image_shape):
        if any(None in shape[1:3] for shape in maps_shape):
            return (None, 4)
        counts = (3, 6, 6, 6, 6, 6)
        return (sum(n * shape[1] * shape[2] for n, shape in zip(counts, maps_shape)), 4)

    def get_config(self):
        return {**super().get_config(), "sizes": self.sizes}
