"""A synthetic data set: shapes on painted grounds, to try everything out with no download.

Equal (images, seed, size) give byte-identical files on one machine. The pictures are written as a
COCO folder and converted like any other.
"""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from kdet.data.convert.coco import read_coco
from kdet.data.convert.write import write_dataset
from kdet.errors import DataError
from kdet.masks.rle import runs_from_mask

SHAPES = ("circle", "square", "triangle", "star")
_PAINTS = np.array(
    [
        (214, 69, 65), (242, 140, 40), (247, 202, 24), (88, 167, 87), (38, 166, 154),
        (52, 120, 190), (120, 90, 175), (205, 90, 150), (250, 250, 245), (45, 50, 60),
    ],
    np.float32,
)  # fmt: skip
# Every shape has two paints of its own and seldom wears another, so that classes are learnt in
# minutes from nothing.
_FAVOURITES = ((5, 4), (1, 2), (3, 6), (0, 7))
_FAITHFUL = 0.95
_GROUNDS = np.array(
    [
        (228, 220, 205), (205, 216, 222), (190, 205, 190), (222, 200, 196), (160, 170, 185),
        (120, 135, 140), (92, 104, 118), (140, 126, 116), (196, 190, 170), (70, 84, 90),
    ],
    np.float32,
)  # fmt: skip
_SMOOTH = 4  # shapes are drawn this much larger, then averaged
_EMPTY = 0.06  # share of images without objects
_VISIBLE = 0.6  # of every object at least this share stays uncovered


@dataclass(frozen=True)
class _Shape:
    label: int
    points: np.ndarray  # (n, 2) x y in pixels of the image
    coverage: np.ndarray  # (height, width) float32, 0..1
    mask: np.ndarray  # (height, width) bool
    paint: int  # index into _PAINTS


def make_synthetic(out, images: int, seed: int, size=(128, 128), masks: bool = True) -> dict:
    """Draws a data set and writes it as shards.

    Every image has one to five shapes, sides 20-60% of the image's; about one in sixteen has none.
    Half are JPEG, half PNG.

    Args:
        out: folder for the shards, as in `kdet.data.convert.coco.convert_coco`.
        images: how many.
        seed: 0 or more; every image depends on (seed, its number, size) alone.
        size: (height, width) in pixels, each at least 32.
        masks: also write polygons, and run lengths where a shape is partly covered.
    Returns:
        The content of dataset.json.
    Raises:
        DataError: impossible arguments, or `out` holds another data set.
    """
    if images < 1 or seed < 0 or min(size) < 32:
        raise DataError(
            f"expected images >= 1, seed >= 0 and sides >= 32, got {images}, {seed} and {size}"
        )
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        listed, annotations = [], []
        for number in range(1, images + 1):
            rng = np.random.default_rng([seed, number, *size])
            pixels, shapes = draw_scene(rng, size)
            name = f"{number:06d}" + (".jpg", ".png")[number % 2]
            _save(pixels, folder / name)
            listed.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
            for thing in _visible(shapes):
                annotation = _annotation(*thing, masks)
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": number, "iscrowd": 0, **annotation}
                )
        categories = [{"id": k, "name": name} for k, name in enumerate(SHAPES, 1)]
        data = {"images": listed, "annotations": annotations, "categories": categories}
        path = folder / "synthetic.json"
        path.write_text(json.dumps(data))
        source = read_coco(path, folder, kind="synthetic")
        return write_dataset(source, out, max(1, min(8, images // 250)), 1, allow_empty=True)


def draw_scene(rng: np.random.Generator, size):
    """One picture.

    Returns:
        pixels: (height, width, 3) uint8 RGB.
        shapes: what was drawn, from the back to the front.
    """
    canvas = _ground(rng, size)
    empty = rng.random() < _EMPTY
    shapes = []
    for _ in range(0 if empty else rng.choice(5, p=(0.25, 0.3, 0.22, 0.14, 0.09)) + 1):
        for _ in range(12):  # a crowded picture may stay below the number drawn
            shape = _shape(rng, canvas, shapes)
            if all(_share(old, [*shapes, shape]) >= _VISIBLE for old in shapes):
                _paint(canvas, shape, rng)
                shapes.append(shape)
                break
    grain = rng.normal(0, rng.uniform(1, 5), (*size, 1)).astype(np.float32)
    return np.clip(canvas + grain, 0, 255).astype(np.uint8), shapes


def _ground(rng, size):
    """(height, width, 3) float32: a gradient, and on most pictures a pattern."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(size)
    angle = rng.uniform(0, 2 * math.pi)
    slope = x * math.cos(angle) + y * math.sin(angle)
    slope = (slope - slope.min()) / (slope.max() - slope.min())
    first, second = _GROUNDS[rng.choice(len(_GROUNDS), 2, replace=False)]
    second = 0.5 * (first + second)  # two neighbouring tones: the shapes should stand out
    ground = first + slope[..., None] * (second - first)
    kind = rng.integers(5)
    turn = rng.uniform(0, math.pi)
    along = x * math.cos(turn) + y * math.sin(turn)
    across = y * math.cos(turn) - x * math.sin(turn)
    rate = 2 * math.pi * rng.uniform(6, 14)
    if kind == 0:  # stripes
        pattern = np.sin(rate * along)
    elif kind == 1:  # dots
        pattern = np.maximum(np.sin(rate * along) * np.sin(rate * across) - 0.3, 0) * 2
    elif kind == 2:  # checks
        pattern = np.sign(np.sin(rate * along) * np.sin(rate * across))
    elif kind == 3:  # clouds
        clouds = Image.fromarray(rng.random((7, 7), np.float32))
        pattern = np.asarray(clouds.resize((width, height), Image.Resampling.BICUBIC)) * 4 - 2
    else:
        pattern = np.zeros_like(x)
    return ground + rng.uniform(4, 11) * pattern[..., None]


def _shape(rng, canvas, shapes):
    """A shape at a random place, wholly inside the picture, of a paint unlike all around it."""
    size = height, width = canvas.shape[:2]
    label = int(rng.integers(len(SHAPES)))
    points = _outline(label, rng.uniform(-0.35, 0.35))
    points -= points.min(0)
    side = rng.uniform(0.2, 0.6) ** 1.15 * min(size) * 1.05
    points *= max(side, 0.2 * min(size)) / points.max()
    points += rng.uniform(1, (width - 1, height - 1) - points.max(0))
    coverage = _fill(points, size)
    mask = coverage >= 0.5
    under = canvas[mask].mean(0)
    distance = np.abs(_PAINTS - under).sum(1)
    used = [s.paint for s in shapes]
    free = [k for k in np.flatnonzero(distance > 130) if k not in used] or [distance.argmax()]
    if rng.random() < _FAITHFUL:
        free = [k for k in free if k in _FAVOURITES[label]] or free
    return _Shape(label, points, coverage, mask, int(rng.choice(free)))


def _fill(points, size):
    """(height, width) float32, the share of every pixel that lies inside the polygon."""
    (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int) + 2
    large = Image.new("L", ((right - left) * _SMOOTH, (bottom - top) * _SMOOTH))
    corners = [tuple(p) for p in ((points - (left, top)) * _SMOOTH).tolist()]
    ImageDraw.Draw(large).polygon(corners, fill=255)
    coverage = np.zeros((size[0] + 2, size[1] + 2), np.float32)
    coverage[top:bottom, left:right] = np.asarray(large.reduce(_SMOOTH), np.float32) / 255
    return coverage[: size[0], : size[1]]


def _outline(label, turn):
    """(n, 2) points of a shape around the origin, turned by `turn` radians."""
    name = SHAPES[label]
    if name == "circle":
        angles, radii = np.arange(48) * 2 * np.pi / 48, 1.0
    elif name == "square":
        angles, radii = (np.arange(4) + 0.5) * np.pi / 2, 1.0
    elif name == "triangle":
        angles, radii = np.arange(3) * 2 * np.pi / 3 - np.pi / 2, 1.0
    else:
        angles, radii = np.arange(10) * np.pi / 5 - np.pi / 2, np.tile([1.0, 0.45], 5)
    angles = angles + turn
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)


def _paint(canvas, shape, rng):
    """Puts a shape with a soft shadow, light from above left and a thin rim on the canvas."""
    blur = max(1.0, min(canvas.shape[:2]) / 50)
    reach = math.ceil(4 * blur)
    low, high = shape.points.min(0), shape.points.max(0)
    (left, top), (right, bottom) = (
        np.maximum(low - reach, 0).astype(int),
        (high + reach).astype(int),
    )
    part = canvas[top:bottom, left:right]
    coverage = shape.coverage[top:bottom, left:right]
    flat = Image.fromarray((coverage * 255).astype(np.uint8))
    shadow = np.asarray(flat.filter(ImageFilter.GaussianBlur(blur)), np.float32) / 255
    step = round(blur)
    part[step:] *= 1 - 0.35 * shadow[:-step, :, None]
    x = np.arange(left, left + part.shape[1], dtype=np.float32)
    y = np.arange(top, top + part.shape[0], dtype=np.float32)[:, None]
    light = 1 - ((x - low[0]) / (high[0] - low[0]) + (y - low[1]) / (high[1] - low[1]))
    depth = np.asarray(flat.filter(ImageFilter.GaussianBlur(blur / 2)), np.float32) / 255
    rim = np.clip((0.85 - depth) * 4, 0, 1)
    tone = (22 * light - 38 * rim)[..., None]
    paint = np.clip(_PAINTS[shape.paint] * np.float32(rng.uniform(0.9, 1.05)) + tone, 0, 255)
    part += coverage[..., None] * (paint - part)


def _visible(shapes):
    """(shape, visible mask, whether it is covered in part) of every shape."""
    for k, shape in enumerate(shapes):
        seen = shape.mask.copy()
        for later in shapes[k + 1 :]:
            seen &= ~later.mask
        yield shape, seen, bool((seen != shape.mask).any())


def _share(shape, shapes):
    front = shapes[next(k for k, s in enumerate(shapes) if s is shape) + 1 :]
    covered = np.zeros_like(shape.mask)
    for other in front:
        covered |= other.mask
    return 1 - (shape.mask & covered).sum() / shape.mask.sum()


def _annotation(shape, seen, covered, masks):
    if covered:
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        x, y = int(columns[0]), int(rows[0])
        bbox = [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]
        segmentation = {"size": list(seen.shape), "counts": runs_from_mask(seen)}
    else:
        low, high = shape.points.min(0), shape.points.max(0)
        bbox = [round(float(v), 2) for v in (*low, *(high - low))]
        segmentation = [[round(float(v), 2) for v in shape.points.ravel()]]
    annotation = {"category_id": shape.label + 1, "bbox": bbox, "area": int(seen.sum())}
    return {**annotation, "segmentation": segmentation} if masks else annotation


def _save(pixels, path):
    out = io.BytesIO()
    if path.suffix == ".png":
        Image.fromarray(pixels).save(out, "PNG", compress_level=3)
    else:
        Image.fromarray(pixels).save(out, "JPEG", quality=92)
    path.write_bytes(out.getvalue())
    os.utime(path, (0, 0))  # times are part of a conversion's identity; these must not differ
