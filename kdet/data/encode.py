"""One record as bytes: what `kdet.data.schema` calls a record, written without TensorFlow.

The bytes are a `tf.train.Example`. They are assembled here, not by TensorFlow's classes, so that
the processes that check images start in a tenth of a second and equal input gives equal bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Object:
    """One annotated object.

    Attributes:
        id: annotation id in the source data.
        label: 0..K-1.
        bbox: x, y, width, height in pixels, exactly as annotated.
        area: square pixels, as annotated.
        crowd, difficult: 0 or 1.
        polygons: each one x y x y ... in pixels; empty where the object has none.
        runs: run lengths of its mask (`kdet.data.rle`); empty where it has none.
    """

    id: int
    label: int
    bbox: tuple[float, float, float, float]
    area: float
    crowd: int = 0
    difficult: int = 0
    polygons: tuple[tuple[float, ...], ...] = ()
    runs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Record:
    """One upright image with its objects.

    Attributes:
        encoded: JPEG or PNG bytes, RGB or grey, 8 bits.
        id: image id in the source data, or a running number.
        name: file name in the source data.
        height, width: pixels of the encoded image.
        objects: in the order of the source data.
    """

    encoded: bytes
    id: int
    name: str
    height: int
    width: int
    objects: tuple[Object, ...] = field(default=())


def coco_boxes(bbox, height: int, width: int):
    """Annotated boxes as the models see them, clipped to the image (`kdet.data.decode.clipped`).

    The rule, in half-open pixels: x1 = max(0, x), x2 = min(width, x1 + max(1, w)), and the same
    for y. A box that begins left of the image therefore keeps its width, as in the reference.

    Args:
        bbox: (n, 4) x, y, w, h as annotated.
        height, width: size of the image in pixels.
    Returns:
        boxes: (n, 4) float32 xyxy.
        keep: (n,) bool, False where less than a pixel of width or height is left.
    """
    bbox = np.asarray(bbox, np.float64).reshape(-1, 4)
    low = np.maximum(bbox[:, :2], 0)
    high = np.minimum(low + np.maximum(bbox[:, 2:], 1), (width, height))
    # Compared in float64: in float32 a box one pixel wide may come out narrower.
    return np.concatenate([low, high], 1).astype(np.float32), (high >= low + 1).all(1)


def encode(record: Record) -> bytes:
    """The record as a serialised `tf.train.Example` (features: `kdet.data.schema`)."""
    objects = record.objects
    polygons = [p for o in objects for p in o.polygons]
    features = {
        "image/encoded": _bytes(record.encoded),
        "image/id": _ints([record.id]),
        "image/name": _bytes(record.name.encode()),
        "image/height": _ints([record.height]),
        "image/width": _ints([record.width]),
        "object/id": _ints(o.id for o in objects),
        "object/label": _ints(o.label for o in objects),
        "object/bbox": _bytes(np.asarray([o.bbox for o in objects], "<f8").tobytes()),
        "object/area": _bytes(np.asarray([o.area for o in objects], "<f8").tobytes()),
        "object/crowd": _ints(o.crowd for o in objects),
        "object/difficult": _ints(o.difficult for o in objects),
        "polygon/parts": _ints(len(o.polygons) for o in objects),
        "polygon/sizes": _ints(len(p) // 2 for p in polygons),
        "polygon/points": _floats([v for p in polygons for v in p]),
        "rle/runs": _ints(len(o.runs) for o in objects),
        "rle/lengths": _ints(n for o in objects for n in o.runs),
    }
    entries = (_field(1, name.encode()) + _field(2, features[name]) for name in sorted(features))
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _field(number, payload):
    """A length-delimited protocol buffer field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value):
    value &= (1 << 64) - 1  # negative numbers are written as 64-bit two's complement
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


# Feature is one of bytes_list = 1, float_list = 2, int64_list = 3; each has `value` = 1.
def _bytes(value):
    return _field(1, _field(1, value))


def _floats(values):
    return _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)) if values else b"")


def _ints(values):
    packed = b"".join(_varint(v) for v in values)
    return _field(3, _field(1, packed) if packed else b"")
