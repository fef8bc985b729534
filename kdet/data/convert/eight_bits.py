"""Images of any mode and depth -> 8-bit RGB or grey.

Alpha is dropped, not blended: what lies under it is the picture the labels were made on. Palette,
CMYK and bilevel images become RGB or grey. Of 16-bit values the highest 8 bits that are used stay:
microscopes and X-ray cameras store 10 to 14 bits in 16. How many are used says the PNG's sBIT
chunk, or else the largest value of the image.
"""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from kdet.data.convert.image_files import PNG, png_chunks

_DEPTH, _COLOUR = 8, 9  # places in the PNG's header chunk
_GREY, _GREY_ALPHA, _RGBA = 0, 4, 6  # PNG colour types


def eight_bits(image, data: bytes = b"") -> tuple[Image.Image, int]:
    """An image as 8-bit RGB or grey.

    Args:
        image: PIL image of any mode.
        data: the file it was read from, where there is one. Pillow keeps only the high byte of
            16-bit RGB files; with `data` all 16 bits count.
    Returns:
        A fresh PIL image of mode RGB or L, without EXIF, profile or transparency; and how many
        bits its values used, 8..16.
    """
    significant = 0
    if data.startswith(PNG) and data[len(PNG) + 8 + _DEPTH] == 16:
        values, significant = _samples(data)
    elif image.mode.startswith("I"):  # 16-bit grey
        values = np.asarray(image).clip(0, 65535).astype(np.uint16)
    else:
        grey = image.mode in ("1", "L", "LA", "La")
        return Image.fromarray(np.asarray(image.convert("L" if grey else "RGB"))), 8
    top = int(values.max())
    bits = significant if top < 2**significant else 16 if significant else top.bit_length()
    bits = max(bits, 8)
    return Image.fromarray((values >> (bits - 8)).astype(np.uint8)), bits


def _samples(data):
    """The values of a 16-bit PNG, (H, W) or (H, W, 3) integers, and its sBIT number or 0."""
    chunks = [(kind, bytes(content)) for kind, content, _ in png_chunks(data)]
    header = bytearray(chunks[0][1])
    pixels = [(k, c) for k, c in chunks if k == b"IDAT"]
    grey = header[_COLOUR] in (_GREY, _GREY_ALPHA)
    significant = next((max(c[: 1 if grey else 3]) for k, c in chunks if k == b"sBIT" and c), 0)
    if grey:
        # Two bytes a value read as two 8-bit values: grey as grey and alpha, with alpha as RGBA.
        header[_DEPTH] = 8
        header[_COLOUR] = _GREY_ALPHA if header[_COLOUR] == _GREY else _RGBA
        pairs = np.asarray(Image.open(_file(header, pixels)))
        high, low = pairs[..., 0], pairs[..., 1]
    else:
        high, low = (_channels(_file(header, pixels), end) for end in ("16B", "16L"))
    return high.astype(np.uint16) << 8 | low, min(significant, 16)


def _channels(file, bytes_of):
    """One byte of each value of a 16-bit RGB or RGBA PNG: the high ("16B") or the low ("16L")."""
    image = Image.open(file)
    image.tile = [(*tile[:3], tile[3].replace("16B", bytes_of)) for tile in image.tile]
    return np.asarray(image)[..., :3]


def _file(header, pixels):
    """A PNG file of a header and pixel chunks, without anything else."""
    out = io.BytesIO(PNG)
    out.seek(0, io.SEEK_END)
    for kind, content in ((b"IHDR", bytes(header)), *pixels, (b"IEND", b"")):
        out.write(len(content).to_bytes(4, "big") + kind + content)
        out.write(zlib.crc32(kind + content).to_bytes(4, "big"))
    out.seek(0)
    return out
