"""What a detector found on one image."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from kdet.config import LabelMap
from kdet.masks.rle import encode_mask


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes found on one image, best first when they come from a detector.

    Attributes:
        boxes: (n, 4) float32, xyxy, pixels of the original image, half-open.
        scores: (n,) float32, 0..1.
        labels: (n,) int32, 0..K-1.
        names: the K class names of the label map.
        image: (H, W, 3) uint8 RGB, or None.
        masks: (n, H, W) bool, or None.

    Raises:
        ValueError: lengths or shapes that do not fit together, a label without a name.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    image: np.ndarray | None = field(default=None, repr=False)
    masks: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self):
        boxes = np.asarray(self.boxes, np.float32)
        boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
        scores, labels = np.asarray(self.scores, np.float32), np.asarray(self.labels, np.int32)
        masks = None if self.masks is None else np.asarray(self.masks, bool)
        n = len(boxes)
        if boxes.shape != (n, 4) or scores.shape != (n,) or labels.shape != (n,):
            raise ValueError(
                "expected boxes (n, 4), scores (n,), labels (n,); "
                f"got {boxes.shape}, {scores.shape}, {labels.shape}"
            )
        if masks is not None and len(masks) != n:
            raise ValueError(f"expected one mask per box ({n}), got {len(masks)}")
        if n and (labels.min() < 0 or labels.max() >= len(self.names)):
            raise ValueError(
                f"expected labels 0..{len(self.names) - 1}, got {labels.min()}..{labels.max()}"
            )
        values = {"boxes": boxes, "scores": scores, "labels": labels, "masks": masks}
        for name, value in {**values, "names": tuple(self.names)}.items():
            object.__setattr__(self, name, value)

    def __len__(self):
        return len(self.boxes)

    def __repr__(self):
        if not len(self):
            return "Detections(nothing found)"
        counts = Counter(self.names[label] for label in self.labels).most_common()
        found = ", ".join(f"{n} {name}" for name, n in counts)
        return f"Detections({found}; best score {self.scores.max():.3f})"

    def above(self, threshold: float) -> Detections:
        """Those with score >= threshold, in the same order."""
        keep = self.scores >= threshold
        masks = None if self.masks is None else self.masks[keep]
        boxes, scores, labels = self.boxes[keep], self.scores[keep], self.labels[keep]
        return replace(self, boxes=boxes, scores=scores, labels=labels, masks=masks)

    def rows(self) -> list[dict]:
        """The detections as {"name", "score", "box" (xyxy pixels)}, ready for JSON."""
        return [
            {"name": self.names[label], "score": float(score), "box": box.tolist()}
            for box, score, label in zip(self.boxes, self.scores, self.labels)
        ]

    def draw(self, threshold: float = 0.3, enlarge: bool = True):
        """The image with everything of score >= threshold, as a PIL image.

        A small image is enlarged, so that its tags can be read, unless `enlarge` is False.
        Raises ValueError where no image was kept.
        """
        from kdet.draw.boxes import draw_boxes  # Pillow is only needed here

        if self.image is None:
            raise ValueError("these detections carry no image to draw on")
        few = self.above(threshold)
        values = few.boxes, few.labels, few.scores, self.names, few.masks
        return draw_boxes(self.image, *values, enlarge)

    def _repr_png_(self):
        """The picture notebooks show in place of the text; None without an image."""
        if self.image is None:
            return None
        buffer = io.BytesIO()
        self.draw().save(buffer, "PNG")
        return buffer.getvalue()

    def to_coco(self, image_id: int, label_map: LabelMap) -> list[dict]:
        """COCO result rows (x y w h, category ids of the source data), one per box.

        With masks, rows hold their run lengths as "segmentation" as well.
        """
        masks = None if self.masks is None else [encode_mask(mask) for mask in self.masks]
        return coco_rows(image_id, self.boxes, self.scores, self.labels, label_map, masks)


def coco_rows(image_id, boxes, scores, labels, label_map: LabelMap, masks=None) -> list[dict]:
    """COCO result rows of one image.

    Args:
        image_id: id in the source data.
        boxes: (n, 4) float32, xyxy, original pixels, half-open.
        scores: (n,) float32.
        labels: (n,) int32, 0..K-1.
        label_map: gives the category id of each label.
        masks: run lengths of each box's mask (`kdet.masks.rle.encode_mask`), or None.

    Raises:
        ValueError: a label that the map does not have.
    """
    labels = np.asarray(labels, np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(label_map):
        raise ValueError(
            f"image {image_id}: expected labels 0..{len(label_map) - 1}, "
            f"got {labels.min()}..{labels.max()}"
        )
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    sizes = boxes[:, 2:] - boxes[:, :2]
    rows = [
        {
            "image_id": int(image_id),
            "category_id": int(label_map.ids[label]),
            "bbox": [*corner, *size],
            "score": float(score),
        }
        for corner, size, label, score in zip(boxes[:, :2].tolist(), sizes.tolist(), labels, scores)
    ]
    for row, mask in zip(rows, masks or ()):
        row["segmentation"] = mask
    return rows
