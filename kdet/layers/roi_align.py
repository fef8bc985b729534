"""RoIAlign (He et al. 2017) as a layer; `kdet.ops.roi_align` has the arithmetic."""

import keras

from kdet.layers.base import ConfiguredLayer
from kdet.ops import roi_align


@keras.saving.register_keras_serializable("kdet")
class RoIAlign(ConfiguredLayer):
    """({"P2": (B, h, w, C), ...}, boxes (B, N, 4)) -> (B, N, size, size, C).

    A pyramid gets 2 x 2 samples per bin, and only its levels 2 to 5 are used. The single map
    {"C4": ...} gets about one sample per cell; see `ops.roi_align`.

    Args:
        size: bins per axis.
    """

    SETTINGS = ("size",)

    def __init__(self, size, **kwargs):
        # autocast would round the boxes to the precision of the features
        super().__init__(**{**kwargs, "autocast": False})
        self.size = size

    def call(self, features, boxes, training=False):
        if "C4" in features:
            return roi_align.adaptive_roi_align(features["C4"], boxes, self.size, 16)
        features = {name: features[name] for name in ("P2", "P3", "P4", "P5")}
        # equal runs must give equal weights, but inference has no gradient and can be faster
        return roi_align.multilevel_roi_align(features, boxes, self.size, repeatable=bool(training))

    def compute_output_spec(self, features, boxes, training=False):
        first = next(iter(features.values()))
        shape = (*boxes.shape[:2], self.size, self.size, first.shape[-1])
        return keras.KerasTensor(shape, first.dtype)
