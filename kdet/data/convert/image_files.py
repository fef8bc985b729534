"""The bytes of an image file -> a decoded image, with what was wrong or special about the file.

Read are JPEG, PNG, BMP and WebP files, by their content: a file's name does not matter. Damage is
found where Pillow, the PNG checksums or a missing end show it. `kdet.data.convert.check` then
reads every stored image with the decoder that training uses.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from dataclasses import dataclass

from PIL import Image

from kdet.errors import DataError

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
PNG = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112  # EXIF tag
COMPLETED = "JPEG images without their end marker, which was added"
ANIMATED = "animated images, of which the first frame is used"
NO_EXIF = "images with a damaged EXIF block"
_EOI, _SOS, _FRAMES = 0xD9, 0xDA, (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # JPEG markers
_END = bytes((0xFF, _EOI))
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # what ends a scan of a JPEG
_FILLERS = (b"", b"\x00" * 64, b"\xaa\x55" * 32, b"\xfe" * 64)
_PADDING = b"\x00" * 16
_KNOWN = {
    b"GIF8": "a GIF image",
    b"II*\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
    b"%PDF": "a PDF file",
    b"{": "JSON",
    b"<": "XML or a web page",
}


@dataclass(frozen=True)
class ImageFile:
    """A file that was read and decoded.

    Attributes:
        data: the bytes; a missing end marker is added.
        image: PIL image, its pixels are loaded.
        orientation: of EXIF, 1..8.
        notes: what is special about the file, as words for the report.
    """

    data: bytes
    image: Image.Image
    orientation: int
    notes: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether the bytes may be stored as they are: one JPEG or PNG picture."""
        return self.image.format in ("JPEG", "MPO", "PNG") and ANIMATED not in self.notes


def open_image(data: bytes, path) -> ImageFile:
    """Decodes the bytes of an image file.

    Raises:
        DataError: another kind of file, damaged, or too large; one line, it begins with `path`.
    """
    if not data:
        raise DataError(f"{path}: expected an image, got an empty file")
    notes = []
    if data.startswith(b"\xff\xd8") and not _has_end(data):
        data = _completed(data, path)
        notes.append(COMPLETED)
    if data.startswith(PNG):
        _check_png(data, path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = _loaded(data, path)
        orientation = _orientation(image)
    damaged = any("EXIF" in str(w.message) for w in caught)
    notes += [NO_EXIF] * (damaged or orientation is None)
    if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
        notes.append(ANIMATED)
    return ImageFile(data, image, orientation or 1, tuple(notes))


def _loaded(data, path):
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.load()
            return image
    except Image.UnidentifiedImageError:
        kinds = (name for start, name in _KNOWN.items() if data.startswith(start))
        came = next(kinds, f"{data[:8]!r}...")
        raise DataError(f"{path}: expected a JPEG, PNG, BMP or WebP image, got {came}") from None
    except (MemoryError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: image too large: {error}") from None
    except Exception as error:  # Pillow lets through whatever its parsers meet in damaged files
        text = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: damaged image: {text}") from None


def _orientation(image):
    """EXIF orientation, 1..8; None where the EXIF block cannot be read."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # as above
        return None
    return value if value in range(1, 9) else 1


def png_chunks(data: bytes):
    """Yields (kind, content, whether the checksum is right) of every chunk up to IEND."""
    at = len(PNG)
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = memoryview(data)[at + 4 : at + 8 + length]
        checksum = int.from_bytes(data[at + 8 + length : at + 12 + length], "big")
        kind = bytes(body[:4])
        yield kind, body[4:], zlib.crc32(body) == checksum
        if kind == b"IEND":
            return
        at += 12 + length


def _check_png(data, path):
    """Chunk checksums: Pillow skips those of pixel data, TensorFlow refuses to decode them."""
    kind = b""
    for kind, _, right in png_chunks(data):
        if not right:
            name = kind.decode("ascii", "replace")
            raise DataError(f"{path}: damaged image: wrong checksum of PNG chunk {name!r}")
    if kind != b"IEND":
        raise DataError(f"{path}: damaged image: PNG without an end")


def _segments(data):
    """Yields (marker, content) of the first picture of a JPEG file, its end marker included."""
    at = 2
    while at < len(data) - 1 and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in (0x01, 0xFF, *range(0xD0, 0xD8)):  # without content
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + length]
        if marker == _EOI:
            return
        at += 2 + length
        if marker == _SOS:
            found = _MARKER.search(data, at)
            at = found.start() if found else len(data)


def _has_end(data):
    """Whether the first picture of a JPEG file has its end marker."""
    return data.endswith(_END) or any(marker == _EOI for marker, _ in _segments(data))


def _all_scans(data):
    """Whether the scans of a JPEG hold every bit of every coefficient (ISO 10918-1, annex G)."""
    components, left = (), {}
    for marker, content in _segments(data):
        if marker in _FRAMES:
            components = content[6::3]
        elif marker == _SOS and len(content) > 3:
            first, last, bits = content[-3:]
            for component in content[1 : 1 + 2 * content[0] : 2]:
                left |= {(component, k): bits & 15 for k in range(first, min(last, 63) + 1)}
    wanted = [(component, k) for component in components for k in range(64)]
    return all(left.get(place) == 0 for place in wanted)


def _completed(data, path):
    """A JPEG with the end marker that it lacks, where nothing else is missing.

    A decoder that has all it needs ignores what stands before the marker. One that lacks something
    takes it for pixels, so that different fillings give different pictures.

    Raises:
        DataError: more than the marker is missing.
    """
    start = data.rstrip(b"\0") if data.endswith(_PADDING) else data
    start = start.removesuffix(_END[:1])
    found = {_loaded(start + filler + _END, path).tobytes() for filler in _FILLERS}
    if len(found) > 1 or not _all_scans(start):
        raise DataError(f"{path}: damaged image: the file ends in the middle of the picture")
    return start + _END
