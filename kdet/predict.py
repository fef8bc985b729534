"""Images of any kind -> detections or arrays."""

from __future__ import annotations

import os
import re
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from kdet.data.convert.image_files import PNG, png_chunks
from kdet.data.convert.images import pixels_of
from kdet.detections import Detections
from kdet.errors import DataError
from kdet.masks import paste_masks

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
_ARRAYS = "(H, W, 3), (H, W) or (H, W, 1) uint8"


def detect(detector, images, threshold=0.05, batch=1):
    """Finds objects in images.

    Args:
        detector: `kdet.Detector`.
        images: a path (a file, or a folder of images), a PIL image, a uint8 array of RGB
            (H, W, 3) or grey (H, W) or (H, W, 1), or a list of any of these.
        threshold: detections below this score are left out.
        batch: images per call; those of one call share the smallest canvas that holds them all.
    Returns:
        list of `Detections`, one per image, in order; boxes in pixels of the upright image, with
        masks where the detector draws them.
    Raises:
        DataError: no images, or one that cannot be read or is none of the kinds above.
    """
    from kdet.data.batches import image_batch  # here, because it imports TensorFlow

    where = "image {}: " if isinstance(images, (list, tuple)) else ""
    arrays = [load_image(image, where.format(k)) for k, image in enumerate(listed(images))]
    found = []
    for start in range(0, len(arrays), batch):
        chunk = arrays[start : start + batch]
        outputs = detector(image_batch(chunk, detector.data))
        outputs = {name: np.asarray(value) for name, value in outputs.items()}
        for row, image in enumerate(chunk):
            keep = outputs["valid"][row] & (outputs["scores"][row] >= threshold)
            values = [outputs[name][row][keep] for name in ("boxes", "scores", "labels")]
            masks = None
            if "masks" in outputs:
                masks = paste_masks(outputs["masks"][row][keep], values[0], image.shape[:2])
            found.append(Detections(*values, detector.labels.names, image, masks))
    return found


def predict(detector, images, batch=8) -> dict:
    """Raw detections of several images as arrays: no threshold, no pictures.

    Args:
        detector: `kdet.Detector`.
        images: (n, H, W, 3) uint8 RGB, or a sequence of (H, W, 3) uint8 arrays of any sizes. One
            channel in place of three is grey.
        batch: images per call.
    Returns:
        {"boxes": (n, N, 4) float32 xyxy pixels of each image, "scores": (n, N), "labels": (n, N)
        int32, "valid": (n, N) bool[, "masks": (n, N, M, M) float32 probabilities over each box]},
        NumPy arrays, by falling score.
    Raises:
        DataError: no images, or one that is not (H, W, 3) or (H, W, 1) uint8.
    """
    from kdet.data.batches import image_batch

    if not len(images):
        raise DataError("expected at least one image, got none")
    arrays = [_three_channels(image, f"image {k}: ") for k, image in enumerate(images)]
    parts = []
    for start in range(0, len(arrays), batch):
        outputs = detector(image_batch(arrays[start : start + batch], detector.data))
        parts.append({name: np.asarray(value) for name, value in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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
        raise DataError(f"{folder}: not a readable folder: {_reason(error)}") from None
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
        got = _described(image) if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError(f"{where}an image must be a path, a PIL image or {_ARRAYS}; got {got}")
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels > 4 or not array.size:
        raise DataError(f"{where}an image must be {_ARRAYS}; got {_described(array)}")
    array = array[:, :, 0] if array.ndim == 3 and channels == 1 else array
    return pixels_of(Image.fromarray(array))


def check_file(path) -> None:
    """Raises DataError where a path is no file that could hold an image; does not open it."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such image") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable image: {_reason(error)}") from None
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"{path}: expected an image file, got a folder")
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path}: expected an image file, got a pipe, a socket or a device")
    if not found.st_size:
        raise DataError(f"{path}: expected an image, got an empty file")


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
        raise DataError(f"{where}not a readable image: {_reason(error)}") from None
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


def _reason(error):
    message = getattr(error, "strerror", None) or " ".join(str(error).split())
    return message or type(error).__name__


def _three_channels(image, where):
    image = np.asarray(image)
    fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] in (1, 3)
    if not fits or not image.size:
        raise DataError(f"{where}expected (H, W, 3) or (H, W, 1) uint8, got {_described(image)}")
    return image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)


def _described(array):
    """Shape and type of an array, and what was probably meant."""
    hint = ""
    if array.dtype != np.uint8:
        hint = "; scale the values to 0..255 and convert them with .astype(np.uint8)"
    elif array.ndim == 4:
        hint = "; give several images as a list"
    elif array.ndim == 3 and array.shape[0] in (1, 3):
        hint = "; the channels go last, as in image.transpose(1, 2, 0)"
    return f"{array.shape} {array.dtype}{hint}"
