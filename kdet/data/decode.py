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
_BESIDE = 2  # pixels
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


def decode_part(encoded, size, who, top, left, height, width):
    """A part of an image, without decoding the rest of it.

    Args:
        encoded: () string, JPEG or PNG; of a PNG all is decoded.
        size: (2,) int32 h, w, as recorded; another one is an error.
        who: () string, whose image it is, for the error.
        top, left, height, width: () int32 pixels, inside of the image.
    Returns:
        (height + a, width + b, 3) uint8 and its first row and column, () int32. The part is up to
        two pixels larger on every side: colour is stored coarser than light, and what is beside
        the cut decides the pixels next to it.
    Raises:
        tf.errors.InvalidArgumentError: not an image, or of another size.
    """
    low = tf.maximum(tf.stack([top, left]) - _BESIDE, 0)
    high = tf.minimum(tf.stack([top + height, left + width]) + _BESIDE, size)
    window = tf.concat([low, high - low], 0)

    def jpeg():
        with tf.control_dependencies([_same_size(size, tf.image.extract_jpeg_shape(encoded), who)]):
            return tf.io.decode_and_crop_jpeg(
                encoded, tf.identity(window), channels=3, dct_method="INTEGER_ACCURATE"
            )

    def other():
        image = decode_image(encoded)
        with tf.control_dependencies([_same_size(size, tf.shape(image), who)]):
            return tf.slice(
                image, tf.pad(low, [[0, 1]]), tf.pad(high - low, [[0, 1]], constant_values=3)
            )

    return tf.cond(tf.io.is_jpeg(encoded), jpeg, other), low[0], low[1]


def _same_size(stored, found, who):
    message = tf.strings.join(["image ", who, " is not of its recorded size"])
    return tf.debugging.Assert(tf.reduce_all(stored == found[:2]), [message])


def decode(payload, max_edges: int = 0, pixels: bool = True) -> dict:
    """One record as an example; see `kdet.data.schema` for keys, shapes and dtypes.

    Objects of which less than a pixel in width or height lies inside the image are left out.

    Args:
        payload: () string, from `Records.read`.
        max_edges: edges per object's outline (`kdet.data.outlines`); 0 leaves masks out.
        pixels: whether to decode the image. If not, "encoded" () string is in its place, for
            `decode_part`, and its size is not checked.
    Raises:
        tf.errors.InvalidArgumentError: not a record, an image that cannot be decoded, or, where
            masks are asked for, an object (no crowd) without one.
    """
    values = parse(payload, {**IMAGE, **OBJECTS, **(MASKS if max_edges else {})})
    height, width = values["image/height"], values["image/width"]
    stored = tf.cast(tf.stack([height, width]), tf.int32)
    who = tf.strings.as_string(values["image/id"])
    image = {"encoded": values["image/encoded"]}
    if pixels:
        found = decode_image(values["image/encoded"])
        with tf.control_dependencies([_same_size(stored, tf.shape(found), who)]):
            image = {"image": tf.identity(found)}
    boxes, keep = clip_boxes(values["object/bbox"], height, width)
    crowd, masks = values["object/crowd"] > 0, {}
    if max_edges:
        edges, parts = outlines(values, keep & ~crowd, max_edges)
        drawn = tf.reduce_any(parts >= 0, 1) | crowd | ~keep
        message = tf.strings.join(["image ", who, " has objects without masks"])
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(drawn), [message])]):
            masks = {"mask_edges": edges[keep], "mask_parts": parts[keep]}
    truth = {"boxes": boxes, "labels": tf.cast(values["object/label"], tf.int32)}
    truth |= {"crowd": crowd, "difficult": values["object/difficult"] > 0}
    return {
        **masks,
        **image,
        "image_id": values["image/id"],
        "original_size": stored,
        **filter_objects(truth, keep),
    }


def filter_objects(truth: dict, keep) -> dict:
    """The objects of which `keep`, (n,) bool, is true; one search for all of their values."""
    index = tf.where(keep)[:, 0]
    return {name: tf.gather(value, index) for name, value in truth.items()}


def clip_boxes(bbox, height, width):
    """Annotated boxes as training sees them: each corner is moved into the image.

    x1 = clip(x), x2 = clip(x + w), and the same for y: a box that leaves the image ends at its
    border. (The reference does so for VOC; of a COCO box that begins left of the image it keeps
    the width.) As in the reference, a box of less than a pixel is taken as one pixel. Evaluation
    has the same corners (`kdet.data.convert.boxes.clip_box`), without the minimum.

    Args:
        bbox: (n, 4) float64, x y w h as annotated.
        height, width: () integers, pixels of the image.
    Returns:
        (n, 4) float32 xyxy, and (n,) bool: at least one pixel wide and high. It is computed in
        float64: in float32 a box of width 1 may come out narrower.
    """
    border = tf.cast(tf.stack([width, height]), tf.float64)
    corner, size = bbox[:, :2], bbox[:, 2:]
    low = tf.clip_by_value(corner, 0.0, border)
    high = tf.where(size < 1.0, low + 1.0, corner + size)
    high = tf.clip_by_value(high, 0.0, border)
    keep = tf.reduce_all(high >= low + 1.0, 1)
    return tf.cast(tf.concat([low, high], 1), tf.float32), keep
