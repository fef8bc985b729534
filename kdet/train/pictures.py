"""What a run shows: its training images with their truth, and predictions beside the truth."""

from __future__ import annotations

import numpy as np

from kdet.config import Data, LabelMap
from kdet.draw import contact_sheet, draw_boxes, side_by_side


def training_sheet(batch: dict, data: Data, labels: LabelMap, most: int = 8):
    """Augmented training images with their boxes, as one PIL image.

    Args:
        batch: a training batch (`kdet.data.schema`), images normalised.
        data: tells how they were normalised.
        labels: class names.
        most: images to show.
    """
    names = ("image", "resized_size", "boxes", "labels", "valid")
    batch = {name: np.asarray(batch[name])[:most] for name in names}
    pictures = []
    for k, image in enumerate(batch["image"]):
        height, width = np.ceil(batch["resized_size"][k]).astype(int)
        image = (image[:height, :width] * data.std + data.mean) * 255
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        image = image[..., ::-1] if data.channels == "BGR" else image
        valid = batch["valid"][k]
        boxes, classes = batch["boxes"][k][valid], batch["labels"][k][valid]
        pictures.append(draw_boxes(image, boxes, classes, names=labels.names))
    return contact_sheet(pictures)


def prediction_sheet(detector, records, most: int = 4, threshold: float = 0.4):
    """The first images of a data set, truth on the left and predictions on the right.

    Args:
        detector: a `kdet.models.Detector`.
        records: the `kdet.data.records.Records` to show.
        most: images to show.
        threshold: lowest score drawn.
    """
    from kdet.data.decode import decode

    rows = []
    for number in range(min(most, len(records))):
        example = {k: np.asarray(v) for k, v in decode(records.read(number)).items()}
        found = detector.detect([example["image"]], threshold)[0]
        truth = draw_boxes(
            example["image"], example["boxes"], example["labels"], names=records.labels.names
        )
        predicted = draw_boxes(
            example["image"],
            found.boxes,
            found.labels,
            found.scores,
            records.labels.names,
            found.masks,
        )
        rows.append(side_by_side(truth, predicted))
    return contact_sheet(rows, columns=2, cell=960)
