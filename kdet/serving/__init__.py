"""Detectors outside of kdet: a SavedModel that needs TensorFlow only."""


def export(detector, folder):
    """Writes a SavedModel with image preparation and NMS inside.

    Signatures, both returning boxes (N, D, 4) float32 xyxy pixels of the image given, scores
    (N, D) float32, labels (N, D) int32 and num_detections (N,) int32, by falling score:
        serving_default(image: uint8 (N, H, W, 3) RGB)
        serve_bytes(image_bytes: string (N,)): JPEG or PNG files of any sizes; their EXIF
            orientation is not applied.
    With a mask head also masks (N, D, M, M) float32, probabilities over each box; for masks of the
    image's size, stretch each over its box and cut at 0.5, as `kdet.masks.paste_mask` does exactly.
    `assets/labels.json` holds the label map.

    Args:
        detector: `kdet.Detector`; one of mixed precision is exported in float32.
        folder: where to write; must not exist or hold an earlier export.
    Returns:
        The folder.
    Raises:
        ConfigError: `folder` is a file, or a folder that holds something else.
    """
    from kdet.serving import saved_model

    return saved_model.export(detector, folder)


__all__ = ["export"]
