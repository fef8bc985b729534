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
        runs: run lengths of its mask (`kdet.masks.rle`); empty where it has none.
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


def serialize_example(record: Record) -> bytes:
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
