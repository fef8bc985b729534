"""Images -> detections or arrays, in batches and in tiles."""

from __future__ import annotations

import numpy as np

from kdet.data.batch_plan import canvas_index, resized_shape
from kdet.detections import Detections
from kdet.errors import ConfigError, DataError
from kdet.masks import paste_masks
from kdet.predict import tiles as tiling
from kdet.predict.images import described, image_size, listed, load_image

_TILES = 4  # views per call where the caller gives no number


def detect(detector, images, threshold=0.05, batch=None, tiles=None, overlap=0.2, whole=True):
    """Finds objects in images.

    Args:
        detector: `kdet.Detector`.
        images: a path (a file, or a folder of images), a PIL image, a uint8 array of RGB
            (H, W, 3) or grey (H, W) or (H, W, 1), or a list of any of these.
        threshold: detections below this score are left out.
        batch: images or tiles per call. Those of one call have the same canvas, so the number
            changes nothing else. Default: 1, or 4 with tiles.
        tiles: None looks at every image once. True cuts an image that is larger than a tile into
            tiles of the size that the detector does not reduce (`kdet.predict.tiles.tile_size`).
            A number of pixels, or a pair of height and width, is another size of the tiles.
        overlap: the least share of a tile that its neighbour sees, too; 0 to 0.9.
        whole: True also looks at the whole image, because no tile sees an object that is larger
            than a tile. It matters only for images that are cut.
    Returns:
        list of `Detections`, one per image, in order; boxes in pixels of the upright image, with
        masks where the detector draws them.
    Raises:
        DataError: no images, or one that cannot be read or is none of the kinds above.
        ConfigError: a batch, a size of tiles or an overlap that is not possible.
    """
    tiling.check(tiles, overlap)
    batch = (_TILES if tiles else 1) if batch is None else batch
    where = "image {}: " if isinstance(images, (list, tuple)) else ""
    arrays = [load_image(image, where.format(k)) for k, image in enumerate(listed(images))]
    sizes = [array.shape[:2] for array in arrays]
    windows = [tiling.windows(size, detector.data, tiles, overlap, whole) for size in sizes]
    views = [
        image[y1:y2, x1:x2] for image, areas in zip(arrays, windows) for x1, y1, x2, y2 in areas
    ]
    outputs = iter(_outputs(detector, views, batch))
    found = []
    for image, areas in zip(arrays, windows):
        views = [_above(next(outputs), threshold) for _ in areas]
        found.append(_detections(detector, image, areas, views))
    return found


def predict(detector, images, batch=8) -> dict:
    """Raw detections of several images as arrays: no threshold, no pictures.

    Args:
        detector: `kdet.Detector`.
        images: (n, H, W, 3) uint8 RGB, or a sequence of (H, W, 3) uint8 arrays of any sizes. One
            channel in place of three is grey.
        batch: images per call. Those of one call have the same canvas.
    Returns:
        {"boxes": (n, N, 4) float32 xyxy pixels of each image, "scores": (n, N), "labels": (n, N)
        int32, "valid": (n, N) bool[, "masks": (n, N, M, M) float32 probabilities over each box]},
        NumPy arrays, by falling score.
    Raises:
        DataError: no images, or one that is not (H, W, 3) or (H, W, 1) uint8.
    """
    if not len(images):
        raise DataError("expected at least one image, got none")
    arrays = [_three_channels(image, f"image {k}: ") for k, image in enumerate(images)]
    rows = _outputs(detector, arrays, batch)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def canvas_of(size, data) -> int:
    """The index of the smallest canvas for an image of `size` (height, width); -1 if none fits."""
    _, high, wide = resized_shape(*size, data)
    return int(canvas_index(high, wide, data.canvas_sizes()))


def file_batches(paths, data, batch):
    """Yields the numbers of the image files of each call: `batch` files of one canvas.

    Only the headers of the files are read. A file without a readable header is alone. What is left
    of each canvas comes at the end.
    """
    waiting = {}
    for number, path in enumerate(paths):
        size = image_size(path) if batch > 1 else None
        canvas = None if size is None else canvas_of(size, data)
        waiting.setdefault(canvas, []).append(number)
        if canvas is None or len(waiting[canvas]) == batch:
            yield waiting.pop(canvas)
    yield from waiting.values()


def _outputs(detector, arrays, batch):
    """The outputs of the detector for each image, as dicts of arrays without batch axis."""
    from kdet.data.batches import image_batch  # here, because it imports TensorFlow

    check_batch(batch)
    groups, rows = {}, [None] * len(arrays)
    for number, array in enumerate(arrays):
        groups.setdefault(canvas_of(array.shape[:2], detector.data), []).append(number)
    for group in groups.values():
        for start in range(0, len(group), batch):
            numbers = group[start : start + batch]
            outputs = detector(image_batch([arrays[k] for k in numbers], detector.data))
            outputs = {name: np.asarray(value) for name, value in outputs.items()}
            for row, number in enumerate(numbers):
                rows[number] = {name: value[row] for name, value in outputs.items()}
    return rows


def check_batch(batch) -> None:
    """Raises ConfigError for a batch below 1; None is none."""
    if batch is not None and batch < 1:
        raise ConfigError(f"batch: expected at least 1 image per call, got {batch}")


def _above(outputs, threshold):
    keep = outputs["valid"] & (outputs["scores"] >= threshold)
    return {name: value[keep] for name, value in outputs.items() if name != "valid"}


def _detections(detector, image, windows, views):
    """One image's `Detections` from the outputs of its views."""
    found, parts = views[0], None
    if len(views) > 1:
        iou = getattr(detector.config, "nms_iou", 0.5)
        found, parts = tiling.merged(views, windows, iou)
    masks = None
    if "masks" in found:
        size = image.shape[:2]
        if parts is None:
            masks = paste_masks(found["masks"], found["boxes"], size)
        else:
            masks = np.zeros((len(parts), *size), bool)
            for k, (probabilities, boxes) in enumerate(parts):
                masks[k] = paste_masks(probabilities, boxes, size).any(axis=0)
    values = (found[name] for name in ("boxes", "scores", "labels"))
    return Detections(*values, detector.labels.names, image, masks)


def _three_channels(image, where):
    image = np.asarray(image)
    fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] in (1, 3)
    if not fits or not image.size:
        raise DataError(f"{where}expected (H, W, 3) or (H, W, 1) uint8, got {described(image)}")
    return image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)
