"""The bytes of an image file -> a PIL image, with what was wrong or special about the file.

Read are JPEG, PNG, BMP and WebP files, by their content: a file's name does not matter. A missing
end and wrong PNG checksums are found here. Pixels that are stored as they are, are decoded later,
once, by the decoder that training uses (`kdet.data.convert.check`).
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
import zlib
from dataclasses import dataclass

from PIL import Image

from kdet.data.convert.source import read_file
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
_EXIF_CHUNKS = {b"eXIf", b"tEXt", b"zTXt", b"iTXt"}  # Pillow finds orientations in texts, too
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
    """An image file that was opened; its pixels are decoded when they are asked for.

    Attributes:
        path: where it was read, for errors.
        data: the bytes; a missing end marker is added.
        image: PIL image, perhaps not loaded yet.
        orientation: of EXIF, 1..8.
        notes: what is special about the file, as words for the report.
    """

    path: object
    data: bytes
    image: Image.Image
    orientation: int
    notes: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether the bytes may be stored as they are: one JPEG or PNG picture."""
        return self.image.format in ("JPEG", "MPO", "PNG") and ANIMATED not in self.notes

    def load(self) -> Image.Image:
        """The image with its pixels. Raises DataError, one line, where they are damaged."""
        with _plain_errors(self.path, self.data):
            self.image.load()
        return self.image


def open_image(data: bytes, path) -> ImageFile:
    """Opens the bytes of an image file; decodes them only where it must.

    Raises:
        DataError: another kind of file, damaged, or too large; one line, it begins with `path`.
    """
    if not data:
        raise DataError(f"{path}: expected an image, got an empty file")
    notes = []
    if data.startswith(b"\xff\xd8") and not _has_end(data):
        data = _completed(data, path)
        notes.append(COMPLETED)
    chunks = _checked_chunks(data, path) if data.startswith(PNG) else _EXIF_CHUNKS
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = _opened(data, path)
        # Of a PNG, Pillow would decode the pixels first.
        orientation = _orientation(image) if chunks & _EXIF_CHUNKS else 1
    damaged = any("EXIF" in str(w.message) for w in caught)
    notes += [NO_EXIF] * (damaged or orientation is None)
    if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
        notes.append(ANIMATED)
    return ImageFile(path, data, image, orientation or 1, tuple(notes))


def upright_size(path) -> tuple[int, int]:
    """Height and width in pixels of an image file, after its EXIF orientation is applied.

    Raises:
        DataError: as `open_image`, or the file cannot be read.
    """
    file = open_image(read_file(path), path)
    width, height = file.image.size
    return (width, height) if file.orientation >= 5 else (height, width)


def _opened(data, path):
    with _plain_errors(path, data):
        return Image.open(io.BytesIO(data), formats=FORMATS)


@contextlib.contextmanager
def _plain_errors(path, data):
    """Turns whatever Pillow raises into a DataError of one line."""
    try:
        yield
    except DataError:
        raise
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


def _checked_chunks(data, path):
    """The kinds of a PNG's chunks. Raises DataError for a wrong checksum or a missing end.

    Pillow does not look at the checksums of pixel data, and TensorFlow refuses wrong ones.
    """
    kinds, kind = set(), b""
    for kind, _, right in png_chunks(data):
        if not right:
            name = kind.decode("ascii", "replace")
            raise DataError(f"{path}: damaged image: wrong checksum of PNG chunk {name!r}")
        kinds.add(kind)
    if kind != b"IEND":
        raise DataError(f"{path}: damaged image: PNG without an end")
    return kinds


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

    A decoder that has all it needs ignores the bytes before the marker. One that lacks something
    takes it for pixels, so that different fillings give different pictures.

    Raises:
        DataError: more than the marker is missing.
    """
    start = data.rstrip(b"\0") if data.endswith(_PADDING) else data
    start = start.removesuffix(_END[:1])
    with _plain_errors(path, data):
        filled = (_opened(start + filler + _END, path) for filler in _FILLERS)
        found = {image.tobytes() for image in filled}
    if len(found) > 1 or not _all_scans(start):
        raise DataError(f"{path}: damaged image: the file ends in the middle of the picture")
    return start + _END
