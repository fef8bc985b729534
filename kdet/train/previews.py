"""The pictures of a run: training images with ground truth, and ground truth next to predictions.

If the detector has a mask head, the masks of the ground truth are drawn, too.
"""

from __future__ import annotations

import numpy as np

from kdet.config import Data, LabelMap
from kdet.draw.boxes import draw_boxes
from kdet.draw.sheets import contact_sheet, side_by_side
from kdet.masks import fill_outlines

EDGES = 500  # largest number of edges of a drawn outline; few objects have more


def training_sheet(batch: dict, data: Data, labels: LabelMap, most: int = 8):
    """Augmented training images with their boxes and masks, as one PIL image.

    Args:
        batch: a training batch (`kdet.data.schema`), images normalised or uint8 RGB.
        data: the settings with which the images were normalised.
        labels: class names.
        most: largest number of images to show.
    """
    names = ("image", "resized_size", "original_size", "boxes", "labels", "valid")
    names += tuple(name for name in ("mask_edges", "mask_parts") if name in batch)
    batch = {name: np.asarray(batch[name])[:most] for name in names}
    pictures = []
    for k, image in enumerate(batch["image"]):
        height, width = np.ceil(batch["resized_size"][k]).astype(int)
        image = image[:height, :width]
        if image.dtype != np.uint8:
            image = (image * data.std + data.mean) * 255
            image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
            image = image[..., ::-1] if data.channels == "BGR" else image
        valid = batch["valid"][k]
        boxes, classes, masks = batch["boxes"][k][valid], batch["labels"][k][valid], None
        if "mask_edges" in batch:
            scale = np.tile((batch["resized_size"][k] / batch["original_size"][k])[::-1], 2)
            outlines = batch["mask_edges"][k][valid] * scale, batch["mask_parts"][k][valid]
            masks = fill_outlines(*outlines, image.shape[:2])
        pictures.append(draw_boxes(image, boxes, classes, names=labels.names, masks=masks))
    return contact_sheet(pictures)


def prediction_sheet(detector, records, most: int = 6, threshold: float = 0.4):
    """Images of a data set, with ground truth on the left and predictions on the right.

    These are the first images with objects. Other images follow only if there are not enough.

    Args:
        detector: a `kdet.Detector`.
        records: the `kdet.data.records.Records` to show.
        most: largest number of images to show.
        threshold: detections with a lower score are not drawn.
    """
    rows, names = [], records.labels.names
    for number in np.argsort(records.index["objects"] == 0, kind="stable")[:most]:
        example = _example(records.read(number), getattr(detector.config, "mask", False))
        image, masks = example["image"], example.get("masks")
        found = detector.detect([image], threshold)[0]
        truth = draw_boxes(image, example["boxes"], example["labels"], names=names, masks=masks)
        objects = found.boxes, found.labels, found.scores
        rows.append(side_by_side(truth, draw_boxes(image, *objects, names, found.masks)))
    return contact_sheet(rows, columns=2, cell=960)


def _example(payload, masks):
    """A record as arrays. With `masks`, it has "masks" (n, H, W) if all objects have masks."""
    from kdet.data.decode import MASKS, decode, parse

    edges = 0
    if masks:
        stored = parse(payload, MASKS)
        drawn = np.asarray(stored["polygon/parts"] + stored["rle/runs"])
        edges = EDGES if len(drawn) and drawn.all() else 0
    example = {k: np.asarray(v) for k, v in decode(payload, edges).items()}
    if edges:
        outlines = example["mask_edges"], example["mask_parts"]
        example["masks"] = fill_outlines(*outlines, example["image"].shape[:2])
    return example
