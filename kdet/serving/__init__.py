"""Export of a detector for programs that do not have kdet, and the use of what was exported."""

from pathlib import Path

from kdet.errors import ConfigError
from kdet.serving.formats import FORMATS, PACKAGES, QUANTIZER, format_for, needed


def check_target(path, format=None) -> str:
    """The name of the format in which `export` would write.

    Raises:
        ConfigError: the format and the path do not fit, or `export` would replace something that
            is not an export of this format.
    """
    path, format = Path(path), format_for(path, format)
    if format != "saved_model":
        if path.is_dir():
            raise ConfigError(f"{path}: expected a file, got a folder")
        if not path.parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {path.parent}")
    elif path.exists() and not (path / "saved_model.pb").is_file():
        raise ConfigError(
            f"{path}: expected a new folder or an earlier SavedModel; "
            f"this {'folder' if path.is_dir() else 'file'} is not a SavedModel and is not changed"
        )
    return format


def check_export(config, path, format=None, size=None, int8=None, nms=True) -> str:
    """The name of the format; checks what needs no detector and no TensorFlow.

    Args:
        config: the model config of the detector.
        path, format, size, int8, nms: see `export`.
    Raises:
        ConfigError: see `export`.
    """
    format = check_target(path, format)
    if format == "saved_model" and (int8 or not nms):
        raise ConfigError("int8 and no NMS are for the formats of files, not for saved_model")
    if int8 and format != "litert":
        raise ConfigError(f"int8 is for the format litert; got {format}")
    if int8 and not config.fits_int8():
        raise ConfigError(
            f"int8 was not measured for {type(config).__name__}; docs/deploy.md names the "
            "detectors that it is for"
        )
    if not nms and getattr(config, "mask", False):
        raise ConfigError("masks are drawn of the boxes that NMS keeps, so NMS is needed")
    for package, extra in PACKAGES[format] + (QUANTIZER if int8 else ()):
        needed(package, extra)
    return format


def export(detector, path, format=None, size=None, int8=None, nms=True):
    """Writes a detector, with NMS and labels, in a format that needs no kdet.

    "saved_model" is a folder for TensorFlow with three signatures:
        serving_default(image: uint8 (N, H, W, 3) RGB)
        serve_bytes(image_bytes: string (N,)): JPEG or PNG files of any sizes. Their EXIF
            orientation is not applied.
        fixed: as in the other formats
    The first two prepare the images and return boxes (N, D, 4) float32 xyxy in pixels of the input
    image, scores (N, D) float32 in descending order, labels (N, D) int32 and num_detections (N,)
    int32. With a mask head they also return masks (N, D, M, M) float32, which are probabilities
    inside each box. `kdet.masks.paste_mask` makes a mask of the image's size from them: it resizes
    the mask to the box and applies a threshold of 0.5. `assets/labels.json` has the label map.

    "litert" (.tflite), "onnx" (.onnx) and "openvino" (.xml and .bin) are files for one image of one
    size; see `kdet.serving.fixed.FixedDetector` for inputs and outputs. Labels and settings are in
    a JSON file beside it. Before a file gets its name, its engine runs it once, and the detections
    are compared with those of the detector.

    Args:
        detector: `kdet.Detector`. A detector of mixed precision is exported in float32.
        path: a file; or a new folder, or the folder of an earlier export, which is replaced.
        format: the name of a format; None: by the name of the file.
        size: (height, width) of the images that the network sees; None: the detector's own size,
            or a square that all of its images fit on.
        int8: a converted data set, or the parent of its splits, whose images show the range of the
            network's values; for "litert" and the families of `fits_int8`. None: float32.
        nms: False gives the candidates before NMS; not for "saved_model".
    Returns:
        The path.
    Raises:
        ConfigError: the path is something else, or the format cannot do this, or its package is not
            installed, or the file does not agree with the detector.
    """
    format = check_export(detector.config, path, format, size, int8, nms)
    if format == "saved_model":
        from kdet.serving import saved_model

        return saved_model.export(detector, path, size)
    from kdet.serving import files

    return files.export_file(detector, Path(path), format, size, int8, nms)


__all__ = ["FORMATS", "check_export", "export"]
