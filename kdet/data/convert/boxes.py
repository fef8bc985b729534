"""Annotated boxes and the image's border.

A box that leaves the image is clipped at its corners, for COCO and VOC alike: x1, y1, x2 and y2
are each moved into the image, and width and height follow. (The reference does so for VOC; for
COCO it moves a box that begins left of the image to the right, with its width.) Records keep boxes
as annotated. What training sees (`kdet.data.decode.clip_boxes`) and what evaluation compares with
(`kdet.evaluate.truth`) have the same clipped corners.
"""

from __future__ import annotations

from kdet.data.convert.fields import FieldError

CLIPPED = "boxes partly outside the image, clipped when read"
_SLIVER = 0.01  # pixels; less of a box inside the image counts as outside
_ROUNDING = 1e-6  # pixels; x + w of decimal numbers is seldom exact


def leaves_image(bbox, height: int, width: int) -> bool:
    """Whether a box (x, y, w, h in pixels) reaches over the image's border."""
    x, y, w, h = bbox
    right, bottom = width + _ROUNDING, height + _ROUNDING
    return x < -_ROUNDING or y < -_ROUNDING or x + w > right or y + h > bottom


def clip_box(bbox, height: int, width: int) -> tuple[float, float, float, float]:
    """The part of a box (x, y, w, h in pixels) inside the image; unchanged where that is all."""
    if not leaves_image(bbox, height, width):
        return tuple(bbox)
    x, y, w, h = bbox
    left, top = min(max(x, 0), width), min(max(y, 0), height)
    right, bottom = min(max(x + w, 0), width), min(max(y + h, 0), height)
    return left, top, right - left, bottom - top


def check_box(bbox, height: int, width: int) -> bool:
    """Whether an annotated box (x, y, w, h in pixels) reaches over the image's border.

    Raises:
        FieldError: no area, or nothing of it inside the image.
    """
    x, y, w, h = bbox
    if w <= 0 or h <= 0:
        raise FieldError("bbox", f"expected a positive width and height, got {w:g} x {h:g}")
    _, _, inside_w, inside_h = clip_box(bbox, height, width)
    if inside_w < min(_SLIVER, w) or inside_h < min(_SLIVER, h):
        raise FieldError(
            "bbox",
            f"expected a box inside the {width} x {height} image, "
            f"got x {x:g}..{x + w:g}, y {y:g}..{y + h:g}",
        )
    return leaves_image(bbox, height, width)


def is_trainable(bbox, height: int, width: int) -> bool:
    """Whether `kdet.data.decode` keeps a box: at least a pixel wide and high inside the image.

    A box that is itself smaller than a pixel counts as one pixel from its left or upper edge.
    """
    x, y, w, h = bbox
    left, top = max(x, 0), max(y, 0)
    right = left + 1 if w < 1 else x + w
    bottom = top + 1 if h < 1 else y + h
    return min(right, width) >= left + 1 and min(bottom, height) >= top + 1
