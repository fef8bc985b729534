"""Images of any kind -> arrays of pixels."""

from __future__ import annotations

import os
import re
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from kdet.data.convert.image_files import ORIENTATION, PNG, png_chunks
from kdet.data.convert.images import pixels_of
from kdet.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv")
_ARRAYS = "(H, W, 3), (H, W) or (H, W, 1) uint8"


def listed(images) -> list:
    """The images that are meant, as a list.

    A folder means its image files, in the order of their names. Folders inside of it, files
    of other kinds and hidden files (`.a.jpg`, and `._a.jpg` of macOS) are left out.

    Args:
        images: one image or folder, or a list or tuple of them.
    Raises:
        DataError: an empty list, or a folder that cannot be read or has no images.
    """
    if not isinstance(images, (list, tuple)):
        return _files(images) if _is_folder(images) else [images]
    if not images:
        raise DataError("expected at least one image, got an empty list")
    found = []
    for image in images:
        found += _files(image) if _is_folder(image) else [image]
    return found


def _is_folder(image):
    return isinstance(image, (str, os.PathLike)) and os.path.isdir(image)


def _files(folder):
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"{folder}: not a readable folder: {reason(error)}") from None
    files = [Path(folder, name) for name in names if not name.startswith(".")]
    files = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not files:
        raise DataError(f"{folder}: expected a folder with {', '.join(SUFFIXES)} files")
    return files


def load_image(image, where="") -> np.ndarray:
    """One image as (H, W, 3) uint8 RGB, upright.

    Args:
        image: a file, a PIL image or an array; see `detect`. Of an animation it is the first
            picture. Alpha is dropped.
        where: what goes before the message of an error about an image that is no file.
    Raises:
        DataError: it cannot be read, or it is none of these.
    """
    if isinstance(image, (str, os.PathLike)):
        return _pixels_of_file(image)
    if isinstance(image, Image.Image):
        return _decoded(lambda: pixels_of(image), where)
    try:
        array = np.asarray(image)
    except ValueError:  # lists of different lengths
        array = None
    if array is None or array.dtype.hasobject or array.dtype.kind in "SU":
        got = described(image) if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError(f"{where}an image must be a path, a PIL image or {_ARRAYS}; got {got}")
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels > 4 or not array.size:
        raise DataError(f"{where}an image must be {_ARRAYS}; got {described(array)}")
    array = array[:, :, 0] if array.ndim == 3 and channels == 1 else array
    return pixels_of(Image.fromarray(array))


def is_video(path) -> bool:
    """Whether a path has the suffix of a video file."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def check_file(path) -> None:
    """Raises DataError where a path cannot be an image or a video; does not open the file."""
    kind, a_kind = ("video", "a video") if is_video(path) else ("image", "an image")
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such {kind}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable {kind}: {reason(error)}") from None
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"{path}: expected {a_kind} file, got a folder")
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path}: expected {a_kind} file, got a pipe, a socket or a device")
    if not found.st_size:
        raise DataError(f"{path}: expected {a_kind}, got an empty file")


def image_size(path) -> tuple[int, int] | None:
    """Height and width of the upright image in a file, from its header; None if it has none."""
    try:
        with warnings.catch_warnings(), Image.open(path) as opened:
            warnings.simplefilter("ignore")
            # the method of PNG files would decode the pixels
            turned = Image.Image.getexif(opened).get(ORIENTATION, 1) >= 5
            return opened.size if turned else opened.size[::-1]
    except Exception:  # reading the pixels will tell what is wrong
        return None


def _pixels_of_file(path):
    check_file(path)

    def decode():
        try:
            with Image.open(path) as opened:
                if opened.format == "PNG":
                    _check_png(path)
                return pixels_of(opened)
        except UnidentifiedImageError:
            with open(path, "rb") as file:
                begin = file.read(8)
            raise DataError(f"no format that Pillow knows; the file begins with {begin}") from None

    return _decoded(decode, f"{path}: ")


def _check_png(path):
    """Pillow skips the checksums of pixels and would show a damaged picture in wrong colours."""
    data = Path(path).read_bytes()
    if data.startswith(PNG) and not all(
        right for kind, _, right in png_chunks(data) if kind == b"IDAT"
    ):
        raise DataError("the checksum of its pixels is wrong, so the file is damaged")


def _decoded(decode, where):
    """What `decode()` returns; every way in which Pillow may fail becomes a DataError."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of images above half its limit, and of odd but readable files.
            warnings.simplefilter("ignore")
            pixels = decode()
    except FileNotFoundError:  # it was there a moment ago
        raise DataError(f"{where}no such image") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{where}image too large: {_too_large(error)}") from None
    except MemoryError:
        raise DataError(f"{where}image too large for the memory of this machine") from None
    except Exception as error:  # Pillow lets whatever its parsers meet in damaged files through
        raise DataError(f"{where}not a readable image: {reason(error)}") from None
    if not pixels.size:
        raise DataError(f"{where}expected an image with pixels, got the shape {pixels.shape}")
    return pixels


def _too_large(error):
    message = " ".join(str(error).split())
    numbers = re.search(r"\((\d+) pixels\) exceeds limit of (\d+) pixels", message)
    if numbers is None:
        return message
    size, limit = (int(number) / 1e6 for number in numbers.groups())
    return f"it has {size:.1f} megapixels and the limit is {limit:.1f}; make it smaller first"


def reason(error) -> str:
    """What an error says, in one line."""
    message = getattr(error, "strerror", None) or " ".join(str(error).split())
    return message or type(error).__name__


def described(array) -> str:
    """Shape and type of an array, and what was probably meant."""
    hint = ""
    if array.dtype != np.uint8:
        hint = "; scale the values to 0..255 and convert them with .astype(np.uint8)"
    elif array.ndim == 4:
        hint = "; give several images as a list"
    elif array.ndim == 3 and array.shape[0] in (1, 3):
        hint = "; the channels go last, as in image.transpose(1, 2, 0)"
    return f"{array.shape} {array.dtype}{hint}"
