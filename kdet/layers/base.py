"""Base classes of kdet's layers and decoders."""

import keras


class ConfiguredLayer(keras.layers.Layer):
    """A layer whose constructor arguments are attributes of the same names.

    Subclasses list the arguments in `SETTINGS`. `RENAMED` maps argument names in older saved files
    to the current names. With `FLOAT32 = True` the layer computes in float32 under every dtype
    policy, which coordinates, scores and matching need.
    """

    SETTINGS = ()
    RENAMED = {}
    FLOAT32 = False

    def __init__(self, **kwargs):
        super().__init__(**({**kwargs, "dtype": "float32"} if self.FLOAT32 else kwargs))

    def get_config(self):
        return {**super().get_config(), **{name: getattr(self, name) for name in self.SETTINGS}}

    @classmethod
    def from_config(cls, config):
        return cls(**{cls.RENAMED.get(name, name): value for name, value in config.items()})


class Decoder(ConfiguredLayer):
    """Base of the layers that turn a network's outputs into detections.

    Subclasses have the attribute `max_detections` (N). Call them with the outputs of the network,
    image (B, H, W, 3), resized_size and original_size (B, 2) h, w. They return {"boxes": (B, N, 4)
    float32 original pixels, "scores": (B, N) float32, "labels": (B, N) int32, "valid": (B, N)
    bool}, by descending score.
    """

    FLOAT32 = True

    def compute_output_spec(self, outputs, image, resized_size, original_size):
        shape = (image.shape[0], self.max_detections)
        return {
            "boxes": keras.KerasTensor((*shape, 4), "float32"),
            "scores": keras.KerasTensor(shape, "float32"),
            "labels": keras.KerasTensor(shape, "int32"),
            "valid": keras.KerasTensor(shape, "bool"),
        }
