"""Export of a detector to a SavedModel, which needs TensorFlow and not kdet."""

from pathlib import Path

from kdet.errors import ConfigError


def check_folder(folder) -> None:
    """Raises ConfigError where `export` would replace something that is not a SavedModel."""
    folder = Path(folder)
    if folder.exists() and not (folder / "saved_model.pb").is_file():
        raise ConfigError(
            f"{folder}: expected a new folder or an earlier SavedModel; "
            f"this {'folder' if folder.is_dir() else 'file'} is not a SavedModel and is not changed"
        )


def export(detector, folder):
    """Writes a SavedModel that includes image preparation and NMS.

    There are two signatures:
        serving_default(image: uint8 (N, H, W, 3) RGB)
        serve_bytes(image_bytes: string (N,)): JPEG or PNG files of any sizes. Their EXIF
            orientation is not applied.
    Both return boxes (N, D, 4) float32 xyxy in pixels of the input image, scores (N, D) float32 in
    descending order, labels (N, D) int32 and num_detections (N,) int32. With a mask head they also
    return masks (N, D, M, M) float32, which are probabilities inside each box.
    `kdet.masks.paste_mask` makes a mask of the image's size from them: it resizes the mask to the
    box and applies a threshold of 0.5. `assets/labels.json` has the label map.

    Args:
        detector: `kdet.Detector`. A detector of mixed precision is exported in float32.
        folder: a new folder, or the folder of an earlier export, which is replaced.
    Returns:
        The folder.
    Raises:
        ConfigError: `folder` is a file, or a folder with other content.
    """
    from kdet.serving import saved_model

    return saved_model.export(detector, folder)


__all__ = ["export"]
