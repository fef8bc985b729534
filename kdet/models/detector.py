"""The detector object, for training, prediction, evaluation and export."""

from __future__ import annotations

import keras

from kdet import config as configs
from kdet.errors import ConfigError
from kdet.models.families import family_of
from kdet.models.family import network_inputs
from kdet.ops import tf_kernels
from kdet.predict.predictor import Predictor

INPUTS = ("image", "resized_size", "original_size")


class Detector(Predictor):
    """A network and its decoder, with the settings for images and labels.

    All detectors have the same inputs and outputs: {"image": (B, H, W, 3) float32 preprocessed,
    "resized_size": (B, 2) h, w before padding, "original_size": (B, 2) h, w} -> {"boxes": (B, N, 4)
    float32 xyxy original pixels, "scores": (B, N) float32, "labels": (B, N) int32, "valid": (B, N)
    bool[, "masks": (B, N, M, M) float32 probabilities over each box, see `kdet.masks.paste_mask`]},
    by descending score.

    Attributes:
        network: keras.Model, the image (and its sizes) -> outputs of the network. It owns all
            weights. Use it to freeze, inspect or replace layers.
        model: keras.Model with the inputs and outputs above. It shares the weights of the network.
            Use it in other Keras models.
        config, data: the `kdet.config` values that the detector was built from.
        labels: `kdet.config.LabelMap`.
        recipe: the `kdet.config.Recipe` that the detector was loaded with, or None.
        trained: whether the weights were loaded or trained. False for random weights.
    """

    def __init__(self, network, model, config, data, labels):
        self.network, self.model = network, model
        self.config, self.data, self.labels = config, data, labels
        self.recipe, self.trained = None, False
        self._compiled = None

    @property
    def draws_masks(self) -> bool:
        """Whether there are masks among the outputs."""
        return "masks" in self.model.output

    def __call__(self, inputs):
        """Detections of a prepared batch; inputs and outputs are in the class docstring.

        Raises:
            ValueError: an input is missing.
        """
        missing = [name for name in INPUTS if name not in inputs]
        if missing:
            raise ValueError(f"inputs need {', '.join(INPUTS)}; missing {', '.join(missing)}")
        if self._compiled is None:
            self._compiled = tf_kernels.compiled(self.model)
        return self._compiled({name: inputs[name] for name in INPUTS})

    def outputs(self, inputs):
        """Outputs of the network (a nested dict), before decoding, for the same inputs."""
        return self.network(network_inputs(self.network, inputs), training=False)

    def training_model(self):
        """The model to train, which is the network itself or another model with its layers.

        Two-stage networks need the ground truth to sample the RoIs of their heads.
        `kdet.models.family.network_inputs` selects the inputs of a model from a batch.
        """
        make = family_of(self.config).training_model
        return make(self.config, self.network) if make else self.network

    def fit(self, data, epochs=None, batch=None, out=None, callbacks=(), **options):
        """Trains the detector on a data set; see `kdet.train.fit.fit`.

        Args:
            data: a converted data set, or annotations that are converted first: a COCO json, or a
                folder in the form of VOC or YOLO.
            epochs: passes over the data. None chooses a number for the data set.
            batch: images per step. None chooses one.
            out: folder of checkpoints, log and pictures; default: a new folder in `runs/`.
            callbacks: Keras callbacks.
            **options: flags of `kdet train`, e.g. patience=3.
        Returns:
            `kdet.train.fit.History` with the losses and metrics.
        """
        from kdet.train.fit import fit

        return fit(self, data, epochs, batch, out, callbacks, **options)

    def export(self, path, format=None, size=None, int8=None, nms=True):
        """Writes the detector for other programs; see `kdet.export`.

        Args:
            path: a file that ends in .tflite, .onnx or .xml; or the folder of a SavedModel.
            format: "saved_model", "litert", "onnx" or "openvino"; None: by the name of the file.
            size: (height, width) in pixels of the images that the network sees. None keeps its own.
            int8: a converted data set, for LiteRT in 8-bit integers.
            nms: False gives the candidates before non-maximum suppression.
        Returns:
            The path.
        """
        from kdet.serving import export

        return export(self, path, format, size, int8, nms)

    @staticmethod
    def from_export(path, engine=None):
        """An exported detector that detects and evaluates; see `kdet.serving.engines`.

        Args:
            path: what `export` wrote.
            engine: "tensorflow", "litert", "onnxruntime" or "openvino"; None: the usual one.
        Returns:
            `kdet.serving.engines.EngineDetector`.
        """
        from kdet.serving.engines import from_export

        return from_export(path, engine)

    def save(self, path):
        """Writes weights, recipe and labels to one file that `kdet.load(path)` reads.

        Args:
            path: a `.npz` file; an existing one is replaced.
        Raises:
            ConfigError: the detector has no recipe, because it was built and not loaded.
        """
        from kdet.models.loading import save

        return save(self, path)

    def in_float32(self) -> Detector:
        """The detector itself if all its layers are float32, else a float32 copy of it."""
        if all(layer.compute_dtype == "float32" for layer in self.network.layers):
            return self
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")
        try:
            copy = build(self.config, self.data, self.labels)
        finally:
            keras.config.set_dtype_policy(policy)
        for target, source in zip(copy.network.variables, self.network.variables):
            target.assign(source)
        return copy


def build(config, data=None, labels=None) -> Detector:
    """A detector with random weights.

    Args:
        config: a model config of `kdet.config`, e.g. `RetinaNet(R50)`.
        data: `kdet.config.Data`, the preparation of images. Default: that of the COCO rows.
        labels: `kdet.config.LabelMap` of `config.num_classes` names. Default: "0", "1", ...
    Returns:
        Detector.
    Raises:
        ConfigError: `config` belongs to no family, or labels do not match num_classes.
    """
    family = family_of(config)
    data = data or configs.coco_data()
    if labels is None:
        count = config.num_classes
        labels = configs.LabelMap(tuple(map(str, range(count))), tuple(range(count)))
    if len(labels) != config.num_classes:
        raise ConfigError(
            f"num_classes is {config.num_classes} but the label map has {len(labels)} names"
        )
    network = family.network(config)
    inputs = {
        "image": keras.Input((None, None, 3), name="image", dtype="float32"),
        "resized_size": keras.Input((2,), name="resized_size", dtype="float32"),
        "original_size": keras.Input((2,), name="original_size", dtype="float32"),
    }
    outputs = network(network_inputs(network, inputs))
    detections = family.detections(config)(outputs, *inputs.values())
    return Detector(network, keras.Model(inputs, detections, name="detector"), config, data, labels)
