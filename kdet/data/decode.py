"""Record bytes -> example (`kdet.data.schema`)."""

from __future__ import annotations

import tensorflow as tf

from kdet.data.outlines import outlines

_TEXT = tf.io.FixedLenFeature([], tf.string)
_NUMBER = tf.io.FixedLenFeature([], tf.int64)
_NUMBERS = tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True)
IMAGE = {
    "image/encoded": _TEXT,
    "image/id": _NUMBER,
    "image/height": _NUMBER,
    "image/width": _NUMBER,
}
OBJECTS = {
    "object/id": _NUMBERS,
    "object/label": _NUMBERS,
    "object/bbox": tf.io.FixedLenFeature([], tf.string, ""),
    "object/area": tf.io.FixedLenFeature([], tf.string, ""),
    "object/crowd": _NUMBERS,
    "object/difficult": _NUMBERS,
}
MASKS = {
    **{name: _NUMBERS for name in ("polygon/parts", "polygon/sizes", "rle/runs", "rle/lengths")},
    "polygon/points": tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True),
}


def parse(payload, features=None) -> dict:
    """The stored values of a record, nothing changed.

    Args:
        payload: () string, from `Records.read`.
        features: names and `tf.io` types to read; without it all of `IMAGE` and `OBJECTS`.
    Returns:
        The values by feature name; object/bbox as (n, 4) and object/area as (n,) float64.
    Raises:
        tf.errors.InvalidArgumentError: not a record.
    """
    values = tf.io.parse_single_example(payload, features or {**IMAGE, **OBJECTS})
    for name, shape in (("object/bbox", [-1, 4]), ("object/area", [-1])):
        if name in values:
            values[name] = tf.reshape(tf.io.decode_raw(values[name], tf.float64), shape)
    return values


def decode_image(encoded):
    """JPEG or PNG bytes, () string -> (H, W, 3) uint8 RGB; grey is repeated.

    The slow, exact inverse DCT: the published numbers were measured with it.
    """
    # This op reads PNG too.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def decode(payload, max_edges: int = 0) -> dict:
    """One record as an example; see `kdet.data.schema` for keys, shapes and dtypes.

    Objects of which less than a pixel in width or height lies inside the image are left out.

    Args:
        payload: () string, from `Records.read`.
        max_edges: edges per object's outline (`kdet.data.outlines`); 0 leaves masks out.
    Raises:
        tf.errors.InvalidArgumentError: not a record, an image that cannot be decoded, or, where
            masks are asked for, an object (no crowd) without one.
    """
    values = parse(payload, {**IMAGE, **OBJECTS, **(MASKS if max_edges else {})})
    height, width = values["image/height"], values["image/width"]
    image = decode_image(values["image/encoded"])
    stored, found = tf.stack([height, width]), tf.shape(image, tf.int64)[:2]
    who = tf.strings.as_string(values["image/id"])
    said = tf.strings.join(["image ", who, " is not of its recorded size"])
    same = tf.debugging.Assert(tf.reduce_all(stored == found), [said])
    with tf.control_dependencies([same]):
        image = tf.identity(image)
    boxes, keep = clipped(values["object/bbox"], height, width)
    crowd, masks = values["object/crowd"] > 0, {}
    if max_edges:
        edges, parts = outlines(values, keep & ~crowd, max_edges)
        drawn = tf.reduce_any(parts >= 0, 1) | crowd | ~keep
        said = tf.strings.join(["image ", who, " has objects without masks"])
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(drawn), [said])]):
            masks = {"mask_edges": edges[keep], "mask_parts": parts[keep]}
    return {
        **masks,
        "image": image,
        "image_id": values["image/id"],
        "original_size": tf.cast(stored, tf.int32),
        "boxes": boxes[keep],
        "labels": tf.cast(values["object/label"], tf.int32)[keep],
        "crowd": crowd[keep],
        "difficult": (values["object/difficult"] > 0)[keep],
    }


def clipped(bbox, height, width):
    """Annotated boxes as truth: x1 = max(0, x), x2 = min(width, x1 + max(1, w)); the same for y.

    A box that begins left of the image keeps its width; both as in the reference, half-open.

    Args:
        bbox: (n, 4) float64, x y w h as annotated.
        height, width: () integers, pixels of the image.
    Returns:
        (n, 4) float32 xyxy, and (n,) bool: at least one pixel wide and high. It is computed in
        float64: in float32 a box of width 1 may come out narrower.
    """
    low = tf.maximum(bbox[:, :2], 0.0)
    far = tf.cast(tf.stack([width, height]), tf.float64)
    high = tf.minimum(far, low + tf.maximum(bbox[:, 2:], 1.0))
    keep = tf.reduce_all(high >= low + 1.0, 1)
    return tf.cast(tf.concat([low, high], 1), tf.float32), keep
