"""Image files -> upright 8-bit RGB or grey JPEG/PNG bytes.

Rules, stated once:
  * Upright 8-bit RGB or grey files in JPEG or PNG form are stored byte for byte. They are not
    decoded here, but by `kdet.data.convert.check`.
  * Other modes and depths become 8-bit RGB or grey; see `kdet.data.convert.eight_bits`.
  * EXIF orientation is applied to the pixels. The annotated size says which frame the boxes are
    in: the upright one; or, where it fits only the stored one, boxes and masks are turned too.
    Where both fit (square images, mirror images, half turns) boxes are taken as upright.
  * What is encoded again: JPEG at quality 95 without colour subsampling; all else as PNG.
  * A JPEG that lacks nothing but its end marker gets one. Of animated files the first frame is
    used. A file that TensorFlow cannot decode, but Pillow can, is encoded again.
Each of these but the first is a note in the report.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from kdet.data.convert.eight_bits import eight_bits
from kdet.data.convert.example_proto import Record, serialize_example
from kdet.data.convert.image_files import ORIENTATION, PNG, open_image
from kdet.data.convert.source import Item, Problem, read_file
from kdet.data.convert.turned import turn_object
from kdet.errors import DataError

ENCODED_AGAIN = "images that TensorFlow could not decode, encoded again"
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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


def prepare(item: Item, encode: bool = False) -> Prepared:
    """Reads, checks and encodes one item; never raises for a bad image.

    Args:
        item: what to read.
        encode: whether to encode the pixels again in any case.
    """
    try:
        encoded, (height, width), turn, notes = read_image(
            item.path, item.height, item.width, encode
        )
    except DataError as error:
        return dropped(item, str(error).removeprefix(f"{item.path}: "))
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


def dropped(item: Item, message: str) -> Prepared:
    """The result for an item that is left out, with the reason."""
    problem = Problem(item.name, f"image {item.id}", "", message)
    return Prepared(None, item.id, 0, 0, (), 0, 0, problem)


def prepare_all(items) -> list[Prepared]:
    """`prepare` for a chunk of items: what one task of a worker does."""
    return [prepare(item) for item in items]


def read_image(path, height: int, width: int, encode: bool = False):
    """An image file as it goes into a record.

    Args:
        path: JPEG, PNG, BMP or WebP file.
        height, width: the annotated size in pixels.
        encode: whether to encode the pixels again in any case.
    Returns:
        encoded: upright 8-bit RGB or grey JPEG or PNG bytes.
        size: (height, width) of `encoded`.
        turn: 5..8 where boxes must be turned as this EXIF orientation says, else 0.
        notes: what was changed, as words.
    Raises:
        DataError: unreadable, no image of these kinds, damaged (as far as pixels were decoded), or
            of another size than annotated.
    """
    if not Path(path).exists():
        raise DataError(f"{path}: no such file or directory; looked for {path}")
    file = open_image(read_file(path), path)
    image, orientation = file.image, file.orientation
    stored = image.size[::-1]
    upright = stored[::-1] if orientation >= 5 else stored
    if (height, width) not in (stored, upright):
        raise DataError(
            f"{path}: expected the annotated size {width} x {height}, "
            f"got an image of {upright[1]} x {upright[0]}"
        )
    turn = orientation if (height, width) != upright else 0
    plain = _is_plain(image, file.data)
    if orientation == 1 and plain and file.whole and not encode:
        return file.data, stored, 0, file.notes
    fresh, bits = eight_bits(file.load(), file.data)
    notes = [*file.notes, *(["images turned upright (EXIF)"] if orientation > 1 else [])]
    notes += [_changed(image, bits)] * (not plain or not file.whole)
    notes += ["images whose boxes were turned with them"] * (turn > 0)
    notes += [ENCODED_AGAIN] * encode
    if orientation > 1:
        fresh = fresh.transpose(_UPRIGHT[orientation])
    return _encode_image(fresh, image.format in ("JPEG", "MPO")), upright, turn, tuple(notes)


def _is_plain(image, data):
    if image.mode not in ("RGB", "L") or "transparency" in image.info:
        return False
    return not data.startswith(PNG) or data[24] == 8  # bit depth in the header chunk


def _changed(image, bits):
    if bits > 8:
        return f"16-bit images that use {bits} bits, of which the highest 8 are stored (8-bit)"
    return f"{image.format} images of mode {image.mode} stored as 8-bit RGB or grey"


def pixels_of(image) -> np.ndarray:
    """A PIL image of any mode and orientation as upright (H, W, 3) uint8 RGB.

    The pixels are those that a data set made of the same file holds.
    """
    data = _bytes_of(image)  # reading EXIF closes the file
    orientation = image.getexif().get(ORIENTATION, 1)
    image, _ = eight_bits(image, data)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    return np.asarray(image.convert("RGB"))


def _bytes_of(image):
    """The file behind a PNG that was opened, but not loaded yet; b"" without one."""
    file = getattr(image, "fp", None)
    if image.format != "PNG" or file is None or not getattr(image, "tile", None):
        return b""
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    return data


def _encode_image(image, jpeg):
    out = io.BytesIO()
    if jpeg:
        image.save(out, "JPEG", quality=95, subsampling=0)
    else:
        image.save(out, "PNG")
    return out.getvalue()
