"""Conversion from and to KerasCV's dictionaries (the optional extra `kdet[keras-cv]`).

KerasCV pads boxes and classes with -1, while kdet has a separate mask. KerasCV's box format "xyxy"
is that of kdet, in pixels and half-open.
"""

from __future__ import annotations

from keras import ops

FORMAT = "xyxy"  # the `bounding_box_format` for KerasCV's layers and metrics


def to_keras_cv(batch):
    """Converts a training batch of `kdet.data.schema` for KerasCV's layers and drawing functions.

    Args:
        batch: "image" (B, H, W, 3), "boxes" (B, M, 4), "labels" (B, M), "valid" (B, M).
    Returns:
        {"images": (B, H, W, 3), "bounding_boxes": {"boxes": (B, M, 4), "classes": (B, M)}} float32.
    """
    valid = batch["valid"]
    classes = ops.where(valid, ops.cast(batch["labels"], "float32"), -1.0)
    boxes = ops.where(valid[..., None], batch["boxes"], -1.0)
    return {"images": batch["image"], "bounding_boxes": {"boxes": boxes, "classes": classes}}


def from_keras_cv(inputs):
    """The inverse of `to_keras_cv`. Padding gets boxes and labels of 0 and is False in the mask."""
    boxes, classes = inputs["bounding_boxes"]["boxes"], inputs["bounding_boxes"]["classes"]
    valid = classes >= 0
    return {
        "image": inputs["images"],
        "boxes": ops.where(valid[..., None], ops.cast(boxes, "float32"), 0.0),
        "labels": ops.cast(ops.where(valid, classes, 0), "int32"),
        "valid": valid,
    }
