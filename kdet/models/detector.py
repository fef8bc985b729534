"""The one object for training, prediction, evaluation and export."""

import keras

from kdet import config as configs
from kdet.models import rcnn, retinanet, ssd, yolov3

FAMILIES = {
    configs.RetinaNet: retinanet,
    configs.RCNN: rcnn,
    configs.SSD: ssd,
    configs.YOLOv3: yolov3,
}


class Detector:
    """A network, its decoder, and what they need to know about images and labels.

    Calling it is the contract of every kdet model:
    `detector({"image": (B, H, W, 3) float32 preprocessed, "resized_size": (B, 2) h, w before
    padding, "original_size": (B, 2) h, w})` -> `{"boxes": (B, N, 4) float32 xyxy original pixels,
    "scores": (B, N) float32, "labels": (B, N) int32, "valid": (B, N) bool[, "masks": (B, N, M, M)
    float32 probabilities over each box, see `kdet.masks.paste`]}`, by falling score.

    Attributes:
        network: keras.Model, image (and its sizes) -> raw outputs; owns every weight.
        model: keras.Model, the contract above; shares the weights.
        config, data: the `kdet.config` values it was built from.
        labels: `kdet.config.LabelMap`.
    """

    def __init__(self, network, model, config, data, labels):
        self.network, self.model = network, model
        self.config, self.data, self.labels = config, data, labels
        self._compiled = None

    def __call__(self, inputs):
        """Detections of a prepared batch; the contract is in the class docstring."""
        if self._compiled is None:
            from kdet.runtime import compiled

            self._compiled = compiled(self.model)
        names = ("image", "resized_size", "original_size")
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ValueError(f"inputs need {', '.join(names)}; missing {', '.join(missing)}")
        return self._compiled({name: inputs[name] for name in names})

    def raw(self, inputs):
        """Raw outputs of the network (a nested dict) for the same inputs."""
        return self.network(feed(self.network, inputs), training=False)

    def train_network(self):
        """The model to train: the network itself, or one that shares its layers.

        Two-stage networks need the truth to choose what their heads see. `feed` says what a model
        eats of a batch.
        """
        family = FAMILIES[type(self.config)]
        if hasattr(family, "train_network"):
            return family.train_network(self.config, self.network)
        return self.network

    def detect(self, images, threshold=0.05):
        """Finds objects in images of any kind; see `kdet.predict.detect`.

        Returns:
            list of `kdet.detections.Detections`, one per image.
        """
        from kdet.predict import detect

        return detect(self, images, threshold)


def feed(network, batch):
    """What a network eats of a batch: the image alone, or a dict of what its inputs are named."""
    if isinstance(network.input, dict):
        return {name: batch[name] for name in network.input}
    return batch["image"]


def build(config, data=None, labels=None):
    """A detector with freshly initialised weights.

    Args:
        config: a model config of `kdet.config`, e.g. `RetinaNet(R50)`.
        data: `kdet.config.Data`; how images are prepared. Default: that of COCO rows.
        labels: `kdet.config.LabelMap` of `config.num_classes` names. Default: "0", "1", ...
    Returns:
        Detector.
    Raises:
        ConfigError: labels and num_classes contradict each other.
    """
    data = data or configs.coco()
    if labels is None:
        count = config.num_classes
        labels = configs.LabelMap(tuple(map(str, range(count))), tuple(range(count)))
    if len(labels) != config.num_classes:
        raise configs.ConfigError(
            f"num_classes is {config.num_classes} but the label map has {len(labels)} names"
        )
    family = FAMILIES[type(config)]
    network = family.network(config)
    inputs = {
        "image": keras.Input((None, None, 3), name="image", dtype="float32"),
        "resized_size": keras.Input((2,), name="resized_size", dtype="float32"),
        "original_size": keras.Input((2,), name="original_size", dtype="float32"),
    }
    outputs = family.detections(config)(network(feed(network, inputs)), *inputs.values())
    model = keras.Model(inputs, outputs, name="detector")
    return Detector(network, model, config, data, labels)
