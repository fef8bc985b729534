"""What the layers that turn raw outputs into detections have in common."""

import keras


class Decoder(keras.layers.Layer):
    """Base of the decoders: computes in float32 whatever the policy, knows the outputs' shapes.

    Subclasses name their constructor's arguments in `SETTINGS`, `max_detections` (N) among them.
    Call them with raw (outputs of the network), image (B, H, W, 3), resized_size and original_size
    (B, 2) h, w. They return {"boxes": (B, N, 4) float32 original pixels, "scores": (B, N) float32,
    "labels": (B, N) int32, "valid": (B, N) bool}, by falling score.
    """

    SETTINGS = ()

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def compute_output_spec(self, raw, image, resized_size, original_size):
        shape = (image.shape[0], self.max_detections)
        return {
            "boxes": keras.KerasTensor((*shape, 4), "float32"),
            "scores": keras.KerasTensor(shape, "float32"),
            "labels": keras.KerasTensor(shape, "int32"),
            "valid": keras.KerasTensor(shape, "bool"),
        }

    def get_config(self):
        return {**super().get_config(), **{name: getattr(self, name) for name in self.SETTINGS}}
