"""Images of any kind -> detections or arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from kdet.data.batches import image_batch
from kdet.data.convert.images import pixels_of
from kdet.detections import Detections
from kdet.errors import DataError
from kdet.masks import paste_masks

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def detect(detector, images, threshold=0.05, batch=1):
    """Finds objects in images.

    Args:
        detector: `kdet.Detector`.
        images: a path (a file, or a folder of images), a PIL image, a (H, W, 3) or (H, W) uint8
            array, or a list of any of these.
        threshold: detections below this score are left out.
        batch: images per call; those of one call share the smallest canvas that holds them all.
    Returns:
        list of `Detections`, one per image, in order; boxes in pixels of the upright image, with
        masks where the detector draws them.
    Raises:
        DataError: an image that cannot be read or is none of the kinds above.
    """
    arrays = [load_image(image) for image in listed(images)]
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
        images: (n, H, W, 3) uint8 RGB, or a sequence of (H, W, 3) uint8 arrays of any sizes.
        batch: images per call.
    Returns:
        {"boxes": (n, N, 4) float32 xyxy pixels of each image, "scores": (n, N), "labels": (n, N)
        int32, "valid": (n, N) bool[, "masks": (n, N, M, M) float32 probabilities over each box]},
        NumPy arrays, by falling score.
    Raises:
        DataError: no images, or one that is not (H, W, 3) uint8.
    """
    parts = []
    for start in range(0, max(len(images), 1), batch):
        outputs = detector(image_batch(images[start : start + batch], detector.data))
        parts.append({name: np.asarray(value) for name, value in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def listed(images):
    """The images meant: a folder becomes the sorted list of its image files.

    Raises DataError: a folder without images.
    """
    if isinstance(images, (str, Path)) and Path(images).is_dir():
        files = sorted(p for p in Path(images).iterdir() if p.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"{images}: expected a folder with {', '.join(SUFFIXES)} files")
        return files
    return list(images) if isinstance(images, (list, tuple)) else [images]


def load_image(image):
    """One image as (H, W, 3) uint8 RGB, upright; see `detect` for what it may be."""
    if isinstance(image, (str, Path)):
        try:
            with Image.open(image) as opened:
                return load_image(opened)
        except FileNotFoundError:
            raise DataError(f"{image}: no such image") from None
        except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
            raise DataError(f"{image}: not a readable image: {error}") from None
    if isinstance(image, Image.Image):
        return pixels_of(image)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size:
        raise DataError(
            f"an image must be (H, W, 3) or (H, W) uint8; got {image.shape} {image.dtype}"
        )
    return pixels_of(Image.fromarray(image))
