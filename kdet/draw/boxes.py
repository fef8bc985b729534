"""Pictures of boxes, labels, scores and masks. NumPy and Pillow only.

Boxes are xyxy, pixels, half-open; a label always has the same colour, whatever else is drawn.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from kdet.draw.colours import colour
from kdet.draw.text import Writer, clean

SMALL = 256  # images up to this side are enlarged, so that their tags can be read
ENLARGED = 640
LONGEST = 40  # letters of a name on a tag
INK, PAPER = (17, 17, 17), (255, 255, 255)


def draw_boxes(
    image, boxes, labels=None, scores=None, names=None, masks=None, enlarge=True, colours=None
) -> Image.Image:
    """The image with boxes, masks and one tag per box.

    Tags are left out where together they cover more than the boxes and a tenth of the picture.

    Args:
        image: (H, W, 3) uint8 RGB, or a PIL image. It is not changed.
        boxes: (n, 4) xyxy, pixels of the image; parts outside of it are cut off, and corners in the
            wrong order are put right.
        labels: (n,) int, 0..K-1; None draws all boxes in one colour.
        scores: (n,) 0..1, shown as percent; better boxes are drawn over worse ones.
        names: K class names in any script; None shows the label itself. A name that no font can
            draw is shown as `#label`; one of more than 40 letters is cut.
        masks: (n, H, W) bool, blended in the label's colour.
        enlarge: whether a picture of up to 256 pixels a side is enlarged by a whole factor.
        colours: n RGB triples 0..255 in place of the colours of the labels.

    Raises:
        ValueError: shapes or lengths that do not fit, non-finite boxes, a label without a name.
    """
    canvas = np.array(image.convert("RGB") if isinstance(image, Image.Image) else image)
    boxes, labels, scores, masks = _checked(canvas, boxes, labels, scores, names, masks)
    longest = max(canvas.shape[:2])
    factor = ENLARGED // longest if enlarge and longest <= SMALL else 1
    height, width = (factor * side for side in canvas.shape[:2])
    if factor > 1:
        canvas = np.array(Image.fromarray(canvas).resize((width, height), Image.BICUBIC))
    mean_side = math.sqrt(height * width)
    thickness = max(2, mean_side / 260)
    writer = Writer(round(min(max(12, mean_side / 42), 40)), names or ())
    boxes = boxes * factor
    order = np.arange(len(boxes)) if scores is None else np.argsort(scores, kind="stable")
    colours = colours or [colour(int(k)) for k in ([0] * len(boxes) if labels is None else labels)]
    for i in order if masks is not None else ():
        _blend_mask(canvas, masks[i], factor, colours[i], thickness)
    for i in order:
        _outline(canvas, boxes[i], colours[i], thickness)
    shown = [i for i in order[::-1] if _visible(boxes[i], width, height)]
    lines = {i: _tag_line(writer, i, labels, scores, names) for i in shown}
    lines = {i: line for i, line in lines.items() if line is not None}
    pad = max(3, round(writer.size / 4))
    hidden = sum(math.prod(_tag_size(line, pad)) for line in lines.values())
    if hidden > max(0.1 * height * width, _shown_area(boxes, width, height)):
        lines = {}
    taken = []
    for i, line in lines.items():  # the best box chooses its place first
        taken.append(_tag(canvas, boxes[i], line, colours[i], pad, thickness, taken))
    return Image.fromarray(canvas)


def _checked(canvas, boxes, labels, scores, names, masks):
    if canvas.ndim != 3 or canvas.shape[2] != 3 or canvas.dtype != np.uint8 or not canvas.size:
        raise ValueError(f"image must be (H, W, 3) uint8, got {canvas.shape} {canvas.dtype}")
    boxes = np.asarray(boxes, np.float64)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (n, 4) xyxy, got shape {boxes.shape}")
    if not np.isfinite(boxes).all():
        bad = np.flatnonzero(~np.isfinite(boxes).all(axis=1))[0]
        raise ValueError(f"boxes must be finite, box {bad} is {boxes[bad].tolist()}")
    corners = boxes.reshape(-1, 2, 2)
    checked = [np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)]
    for name, values in (("labels", labels), ("scores", scores), ("masks", masks)):
        values = None if values is None else np.asarray(values)
        if values is not None and len(values) != len(boxes):
            raise ValueError(
                f"{name} must have one entry per box ({len(boxes)}), got {len(values)}"
            )
        checked.append(values)
    labels, masks = checked[1], checked[3]
    if labels is not None and len(labels):
        most = len(names) - 1 if names is not None else labels.max()
        if labels.min() < 0 or labels.max() > most:
            raise ValueError(f"labels must be 0..{most}, got {labels.min()}..{labels.max()}")
    if masks is not None and len(masks) and masks.shape[1:] != canvas.shape[:2]:
        raise ValueError(f"masks must be (n, H, W) of the image {canvas.shape}, got {masks.shape}")
    return checked


def _visible(box, width, height):
    return box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0


def _tag_line(writer, i, labels, scores, names):
    """The words of one tag, laid out; None where there is nothing to say."""
    name = instead = score = ""
    if labels is not None:
        name = str(names[labels[i]]) if names is not None else str(labels[i])
        name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        instead = f"#{labels[i]}"  # where no font has the letters of the name
    if scores is not None and math.isfinite(scores[i]):
        score = f"{100 * scores[i]:.0f}%"
    if not clean(name + score):
        return None
    return writer.line(f"{name} {score}", f"{instead} {score}")


def _rounded_distance(x, y, box, radius):
    """Signed distance (pixels, negative inside) of pixel centres to a rounded rectangle."""
    x1, y1, x2, y2 = box
    dx = np.abs(x + 0.5 - (x1 + x2) / 2)[None, :] - (x2 - x1) / 2 + radius
    dy = np.abs(y + 0.5 - (y1 + y2) / 2)[:, None] - (y2 - y1) / 2 + radius
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return outside + np.minimum(np.maximum(dx, dy), 0) - radius


def _blend(canvas, region, coverage, ink):
    """Mixes `ink` into canvas[y1:y2, x1:x2] (region: x1, y1, x2, y2) by coverage 0..1."""
    x1, y1, x2, y2 = region
    part = canvas[y1:y2, x1:x2]
    share = coverage[..., None].astype(np.float32)
    part[:] = np.rint(part + share * (np.asarray(ink, np.float32) - part))


def _outline(canvas, box, ink, thickness):
    """An anti-aliased frame with a faint dark rim, moved inward where it meets the edge."""
    height, width = canvas.shape[:2]
    if not _visible(box, width, height):
        return
    half = thickness / 2
    x1, x2 = np.clip(box[[0, 2]], half, max(width - half, half))
    y1, y2 = np.clip(box[[1, 3]], half, max(height - half, half))
    radius = min(2 * thickness, (x2 - x1) / 2, (y2 - y1) / 2)
    reach = math.ceil(half + radius + 2)  # only pixels this near to the frame are touched
    left, top = max(0, int(x1) - reach), max(0, int(y1) - reach)
    right, bottom = min(width, math.ceil(x2) + reach), min(height, math.ceil(y2) + reach)
    in_top, in_left = min(int(y1) + reach, bottom), min(int(x1) + reach, right)
    in_bottom, in_right = max(math.ceil(y2) - reach, in_top), max(math.ceil(x2) - reach, in_left)
    regions = [(left, top, right, in_top), (left, in_bottom, right, bottom)]
    regions += [(left, in_top, in_left, in_bottom), (in_right, in_top, right, in_bottom)]
    for region in regions:
        x, y = np.arange(region[0], region[2]), np.arange(region[1], region[3])
        away = np.abs(_rounded_distance(x, y, (x1, y1, x2, y2), radius)) - half
        _blend(canvas, region, 0.35 * np.clip(1.2 - away, 0, 1), INK)
        _blend(canvas, region, np.clip(0.5 - away, 0, 1), ink)


def _blend_mask(canvas, mask, factor, ink, thickness):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    y1, x1 = max(0, rows[0] - 3), max(0, columns[0] - 3)
    y2, x2 = rows[-1] + 4, columns[-1] + 4
    part = np.asarray(mask[y1:y2, x1:x2], bool)
    soft = Image.fromarray(part.astype(np.uint8) * 255)
    soft = soft.resize((factor * part.shape[1], factor * part.shape[0]), Image.BILINEAR)
    soft = np.asarray(soft.filter(ImageFilter.GaussianBlur(thickness / 2)), np.float32) / 255
    x1, y1 = int(x1) * factor, int(y1) * factor
    region = (x1, y1, x1 + soft.shape[1], y1 + soft.shape[0])
    rim = 4 * soft * (1 - soft)  # 1 on the contour, 0 away from it
    _blend(canvas, region, np.maximum(0.4 * soft, 0.9 * rim), ink)


def _shown_area(boxes, width, height):
    sides = np.clip(boxes[:, 2:], 0, (width, height)) - np.clip(boxes[:, :2], 0, (width, height))
    return np.maximum(sides, 0).prod(axis=1).sum()


def _tag_size(line, pad):
    return math.ceil(line.width) + 2 * pad, line.height + pad // 2


def _tag(canvas, box, line, ink, pad, thickness, taken):
    """Draws one tag near the box, inside the image, off other tags if it can; returns its place."""
    height, width = canvas.shape[:2]
    w, h = _tag_size(line, pad)
    x1, y1, x2, y2 = box
    half = thickness / 2
    wanted = [(x1 - half, y1 - h), (x1 - half, y1), (x2 + half - w, y1 - h), (x2 + half - w, y1)]
    wanted += [(x1 - half, y2 - h), (x1 - half, y2), (x2 + half - w, y2 - h), (x2 + half - w, y2)]
    places = []
    for x, y in wanted:
        x, y = (max(0, min(round(v), most)) for v, most in ((x, width - w), (y, height - h)))
        places.append((x, y, min(x + w, width), min(y + h, height)))
    place = min(places, key=lambda p: sum(_shared_area(p, q) for q in taken))  # first of the best
    x, y = np.arange(place[0], place[2]), np.arange(place[1], place[3])
    coverage = np.clip(0.5 - _rounded_distance(x, y, place, min(3, h / 3)), 0, 1)
    _blend(canvas, place, 0.92 * coverage, ink)
    luminance = np.dot((0.2126, 0.7152, 0.0722), (np.array(ink) / 255) ** 2.2)
    letters = Image.new("L", (len(x), len(y)))
    line.draw(letters, pad, pad // 4, 255)
    text_ink = INK if luminance > 0.18 else PAPER
    _blend(canvas, place, np.asarray(letters, np.float32) / 255, text_ink)
    return place


def _shared_area(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0, width) * max(0, height)
