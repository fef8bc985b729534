"""Image files -> upright 8-bit RGB or grey JPEG/PNG bytes, fully decoded once to find damage.

Rules, stated once:
  * Upright 8-bit RGB or grey files are stored byte for byte.
  * Alpha is dropped, not blended: what lies under it is the picture the labels were made on.
  * Palette, CMYK and bilevel images become RGB or grey; of 16-bit values the high byte stays.
  * EXIF orientation is applied to the pixels. The annotated size says which frame the boxes are
    in: the upright one; or, where it fits only the stored one, boxes and masks are turned too.
    Where both fit (square images, mirror images, half turns) boxes are taken as upright.
  * What is encoded again: JPEG at quality 95 without colour subsampling, PNG as PNG.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from kdet.data.convert.example_proto import Object, Record, serialize_example
from kdet.data.convert.source import Item, Problem, read_file
from kdet.errors import DataError
from kdet.masks.rle import mask_from_runs, runs_from_mask

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Prepared:
    """An item ready to be written: its bytes and index entry, or the problem that drops it."""

    payload: bytes | None
    id: int
    height: int
    width: int
    labels: tuple[int, ...]  # of the objects that are not crowds
    crowd: int
    difficult: int
    problem: Problem | None = None
    notes: tuple[str, ...] = ()


def prepare(item: Item) -> Prepared:
    """Reads, checks and encodes one item; never raises for a bad image."""
    try:
        encoded, (height, width), turn, notes = read_image(item.path, item.height, item.width)
    except DataError as error:
        text = str(error).removeprefix(f"{item.path}: ")
        problem = Problem(item.name, f"image {item.id}", "", text)
        return Prepared(None, item.id, 0, 0, (), 0, 0, problem)
    objects = item.objects
    if turn:
        objects = tuple(turn_object(o, turn, item.height, item.width) for o in objects)
    return Prepared(
        payload=serialize_example(Record(encoded, item.id, item.name, height, width, objects)),
        id=item.id,
        height=height,
        width=width,
        labels=tuple(o.label for o in objects if not o.crowd),
        crowd=sum(o.crowd for o in objects),
        difficult=sum(o.difficult for o in objects),
        notes=notes,
    )


def prepare_all(items) -> list[Prepared]:
    """`prepare` for a chunk of items: what one task of a worker does."""
    return [prepare(item) for item in items]


def read_image(path, height: int, width: int):
    """An image file as it goes into a record.

    Args:
        path: JPEG or PNG file.
        height, width: the annotated size in pixels.
    Returns:
        encoded: upright 8-bit RGB or grey JPEG or PNG bytes.
        size: (height, width) of `encoded`.
        turn: 5..8 where boxes must be turned as this EXIF orientation says, else 0.
        notes: what was changed, as words.
    Raises:
        DataError: unreadable, not JPEG or PNG, damaged, or of another size than annotated.
    """
    data = read_file(path)
    image, orientation = _decode(data, path)
    stored = image.size[::-1]
    upright = stored[::-1] if orientation >= 5 else stored
    if (height, width) not in (stored, upright):
        raise DataError(
            f"{path}: expected the annotated size {width} x {height}, "
            f"got an image of {upright[1]} x {upright[0]}"
        )
    turn = orientation if (height, width) != upright else 0
    if orientation == 1 and _is_plain(image, data):
        return data, stored, 0, ()
    notes = ["images turned upright (EXIF)"] if orientation > 1 else []
    if not _is_plain(image, data):
        notes.append(f"images of mode {image.mode} stored as 8-bit RGB or grey")
    notes += ["images whose boxes were turned with them"] if turn else []
    image = _eight_bits(image)
    if orientation > 1:
        image = image.transpose(_UPRIGHT[orientation])
    return _encode_image(image, data.startswith(_PNG)), upright, turn, tuple(notes)


def _decode(data, path):
    """The fully decoded image and its EXIF orientation, 1..8."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            image.load()
            orientation = image.getexif().get(_ORIENTATION, 1)
    except Image.UnidentifiedImageError:
        raise DataError(f"{path}: expected a JPEG or PNG image, got {data[:8]!r}...") from None
    # Pillow lets whatever its parsers meet in damaged files through.
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise DataError(f"{path}: damaged image: {' '.join(str(error).split())}") from None
    except (MemoryError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: image too large: {error}") from None
    if data.startswith(_PNG):
        _check_png(data, path)
    return image, orientation if orientation in _UPRIGHT else 1


def _check_png(data, path):
    """Chunk checksums: Pillow skips those of pixel data, TensorFlow refuses to decode them."""
    at = len(_PNG)
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        if zlib.crc32(body) != int.from_bytes(data[at + 8 + length : at + 12 + length], "big"):
            kind = body[:4].decode("ascii", "replace")
            raise DataError(f"{path}: damaged image: wrong checksum of PNG chunk {kind!r}")
        if body.startswith(b"IEND"):
            return
        at += 12 + length
    raise DataError(f"{path}: damaged image: PNG without an end")


def _is_plain(image, data):
    if image.mode not in ("RGB", "L") or "transparency" in image.info:
        return False
    return not data.startswith(_PNG) or data[24] == 8  # bit depth in the header chunk


def pixels_of(image) -> np.ndarray:
    """A PIL image of any mode and orientation as upright (H, W, 3) uint8 RGB."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    image = _eight_bits(image)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    return np.asarray(image.convert("RGB"))


def _eight_bits(image):
    if image.mode.startswith("I"):  # 16-bit grey
        pixels = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
    else:
        grey = image.mode in ("1", "L", "LA", "La")
        pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return Image.fromarray(pixels)  # a fresh image: no EXIF, profile or transparency to carry over


def _encode_image(image, png):
    out = io.BytesIO()
    if png:
        image.save(out, "PNG")
    else:
        image.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def turn_object(thing: Object, orientation: int, height: int, width: int) -> Object:
    """An object annotated on the stored image, moved to the upright one.

    Args:
        thing: the object, in pixels of the stored image.
        orientation: EXIF orientation of the stored image, 5..8 (those that swap the sides).
        height, width: size of the stored image.
    """

    def point(x, y):
        return {
            5: (y, x),
            6: (height - y, x),
            7: (height - y, width - x),
            8: (y, width - x),
        }[orientation]

    x, y, w, h = thing.bbox
    corners = point(x, y), point(x + w, y + h)
    left, top = (min(pair) for pair in zip(*corners))
    polygons = tuple(
        tuple(v for xy in zip(p[::2], p[1::2]) for v in point(*xy)) for p in thing.polygons
    )
    runs = thing.runs
    if runs:
        mask = mask_from_runs(runs, height, width)
        mask = {
            5: mask.T,
            6: np.rot90(mask, -1),
            7: mask[::-1, ::-1].T,
            8: np.rot90(mask),
        }[orientation]
        runs = tuple(runs_from_mask(mask))
    return replace(thing, bbox=(left, top, h, w), polygons=polygons, runs=runs)
