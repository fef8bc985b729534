"""Random augmentation of stretched training images: `kdet.config.Augment`.

All changes are drawn from `example["seed"]` first. Then they are applied in one pass over the
pixels. Their order is that of the reference.
"""

from __future__ import annotations

import math

import tensorflow as tf

from kdet.config import Data
from kdet.data.augment import axis_filters
from kdet.data.augment.view import draw_view, view_boxes
from kdet.data.decode import decode_part, filter_objects
from kdet.data.transforms import scale_boxes

_VIEW, _COLOUR, _METHOD, _MIXUP, _PARTNER = 3, 4, 5, 6, 7  # folded into the seed
_GREY = (0.299, 0.587, 0.114)
# from R G B to Y I Q and back, with the reference's numbers
_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.321), (0.211, -0.523, 0.311))
_FROM_YIQ = ((1.0, 0.956, 0.621), (1.0, -0.272, -0.647), (1.0, -1.107, 1.705))


def augmented(data: Data, side):
    """Augments an example and resizes it to `side`, together with its boxes.

    The example has an uint8 "image", or "encoded" (from `decode` with `pixels=False`), of which
    only the visible part is decoded. If it has another example as "partner", the two are mixed, and
    "scores", (n,) float32, are the mixup weights of the boxes. Crowds are left out. The result is
    uint8 RGB, as in the reference.

    Args:
        data: settings with resize="stretch".
        side: () int32, side of the result in pixels.
    """

    @tf.autograph.experimental.do_not_convert
    def apply(example):
        examples = [example] + ([example["partner"]] if "partner" in example else [])
        share = _share(data, example)
        shares = [share, 1 - share][: len(examples)]
        truth = _truth(examples, shares)
        # Mixup comes first, so the view is drawn in a frame that contains both images.
        sizes = [_size(e) for e in examples]
        size = tf.reduce_max(tf.stack(sizes), 0)
        seed = example["seed"]
        view = draw_view(size, truth["boxes"], data.augment, data.flip, _fold(seed, _VIEW))
        image = _image(data, examples, sizes, shares, view, side, seed)
        boxes, keep = view_boxes(truth["boxes"], view)
        far = tf.cast(side, tf.float32)
        scale = far / tf.cast(tf.stack([view.rows.length, view.columns.length]), tf.float32)
        boxes = tf.minimum(scale_boxes(boxes, scale, data.corners), far)
        truth = filter_objects({**truth, "boxes": boxes}, keep)
        crowd = tf.zeros_like(truth["labels"], tf.bool)
        resized = tf.stack([far, far])
        return {**example, **truth, "crowd": crowd, "image": image, "resized_size": resized}

    return apply


def mixup_partner(augment, read, records: int, number, seen, seed) -> dict:
    """The entries that mixup adds to an example: "partner" (another record) and "mixes".

    Args:
        augment: the settings of mixup, which stops after `augment.mixup_images` images.
        read: record number -> encoded example.
        records: number of records. A single record has no partner.
        number: () int64, number of the example's own record.
        seen: () int64, training images before this step.
        seed: (2,) integers.
    """
    # An offset of 1 to records - 1 never selects the record itself.
    if not augment.mixup or records < 2:
        return {}
    skip = tf.random.stateless_uniform((), _fold(seed, _PARTNER), 1, records, tf.int64)
    other = (number + skip) % records
    if not augment.mixup_images:
        return {"partner": read(other)}
    mixes = seen < augment.mixup_images
    # after the end of mixup, the partner is replaced by a 1x1 black image, which costs little time
    point = tf.io.encode_png(tf.zeros((1, 1, 3), tf.uint8))
    empty = {"encoded": point, "original_size": tf.ones(2, tf.int32), "boxes": tf.zeros((0, 4))}
    empty |= {"labels": tf.zeros(0, tf.int32), "crowd": tf.zeros(0, tf.bool)}
    empty |= {"image_id": tf.zeros((), tf.int64)}

    def found():
        example = read(other)
        return {name: example[name] for name in empty}

    return {"partner": tf.cond(mixes, found, lambda: empty), "mixes": mixes}


def _fold(seed, number):
    return tf.random.experimental.stateless_fold_in(seed, number)


def _share(data, example):
    """() float32 from Beta(a, a), computed from two Gamma draws. It is 1 after mixup has ended."""
    if "partner" not in example:
        return tf.ones(())
    draws = tf.random.stateless_gamma((2,), _fold(example["seed"], _MIXUP), data.augment.mixup)
    return tf.where(example.get("mixes", True), draws[0] / (draws[0] + draws[1]), 1.0)


def _size(example):
    """(2,) int32 h, w. For an encoded image it is the recorded size."""
    return example["original_size"] if "encoded" in example else tf.shape(example["image"])[:2]


def _part(example, size, low, high):
    """Pixels (h, w, 3) uint8 of at least this part of the image, and their top and left.

    Of a part that is outside of the image, only pixels of its border are returned.
    """
    (top, left), high = tf.unstack(tf.minimum(low, size - 1)), tf.minimum(high, size)
    height, width = tf.unstack(high - tf.stack([top, left]))
    if "encoded" not in example:
        return example["image"][top : top + height, left : left + width], top, left
    who = tf.strings.as_string(example["image_id"])
    return decode_part(example["encoded"], size, who, top, left, height, width)


def _truth(examples, shares):
    found = []
    for example, share in zip(examples, shares):
        keep = ~example["crowd"]
        truth = {name: example[name] for name in ("boxes", "labels")}
        if len(examples) > 1:
            keep &= share > 0
            truth["scores"] = tf.zeros_like(truth["labels"], tf.float32) + share
        found.append(filter_objects(truth, keep))
    if len(found) == 1:
        return found[0]
    return {name: tf.concat([f[name] for f in found], 0) for name in found[0]}


def _image(data, examples, sizes, shares, view, side, seed):
    """The augmented image, (side, side, 3) uint8 RGB."""
    method = _method(data, seed)
    shrink = (view.rows.length >= side) & (view.columns.length >= side)
    down = axis_filters.axis_filter(method, view.rows, side, shrink, strips=None)
    across = axis_filters.axis_filter(method, view.columns, side, shrink, view.mirrored)
    part, left = _rows(examples, sizes, shares, view, down, across)
    columns = across._replace(base=across.base - left)
    grey = _grey(data.augment, part, down, columns)
    colours, light = draw_colours(data.augment, grey, _fold(seed, _COLOUR))
    fill = tf.constant(data.augment.fill, tf.float32)
    return tf.reshape(_picture(part, down, columns, side, colours, light, fill), [side, side, 3])


def _rows(examples, sizes, shares, view, rows, columns):
    """The pass over rows of one image or of two mixed ones, and the first column, () int32."""
    top, bottom = axis_filters.source_range(rows, view.rows.size)
    left, right = axis_filters.source_range(columns, view.columns.size)

    def one():
        image, first, column = _part(examples[0], sizes[0], (top, left), (bottom, right))
        return axis_filters.mix_rows(image, rows._replace(base=rows.base - first)), column

    def two():
        parts = []
        for example, size in zip(examples, sizes):
            image, y, x = _part(example, size, (top, left), (bottom, right))
            image = image[top - y : bottom - y, left - x : right - x]
            room = tf.stack([bottom - top, right - left, 3]) - tf.shape(image)
            # the smaller image has black beside it, as in the reference
            parts.append(tf.pad(image, tf.stack([tf.zeros_like(room), room], 1)))
        # Their rows alternate, so that one product mixes and resizes them.
        image = tf.reshape(tf.stack(parts, 1), [2 * (bottom - top), right - left, 3])
        weight = tf.stack([rows.weight * share for share in shares], 2)
        strips, reach, _, wide = tf.unstack(tf.shape(weight))
        weight = tf.reshape(weight, [strips, reach * 2, wide])
        both = rows._replace(base=2 * (rows.base - top), weight=weight)
        return axis_filters.mix_rows(image, both), left

    if len(examples) == 1:
        return one()
    return tf.cond(examples[0].get("mixes", tf.constant(True)), two, one)


def _picture(part, rows, columns, side, colours, light, fill):
    """The result in its frame. It is rounded before padding, because a frame is often larger."""
    inside = columns.cover[:, None] * (light - fill)
    part = axis_filters.mix_columns(part, columns, colours, inside + fill + 0.5)
    # Pixels outside of the image count as 0, so the frame's colour is added for their share.
    frame = rows.cover[: rows.count, None] - 1
    inside = tf.reshape(inside, [1, -1])[:, : 3 * columns.count]
    part = tf.cond(tf.reduce_min(frame) < -1e-5, lambda: part + frame * inside, lambda: part)
    part = tf.raw_ops.ClipByValue(t=part, clip_value_min=0.0, clip_value_max=255.0)
    # Whole numbers of 0..255 wrap around, so subtracting the fill and adding it changes nothing.
    fill = tf.cast(fill, tf.uint8)
    part = tf.cast(part, tf.uint8) - tf.tile(fill, [columns.count])
    return axis_filters.pad_to(part, rows, columns, side) + tf.tile(fill, [side])


def _method(data, seed):
    names = data.augment.methods
    if not names:
        return data.interpolation
    draw = tf.random.stateless_uniform((), _fold(seed, _METHOD), 0, len(names), tf.int32)
    return draw, names


def _grey(augment, part, rows, columns):
    """() float32, mean grey of the visible part of the image, or 0 if contrast does not use it."""
    if not augment.contrast or augment.contrast_about != "mean":
        return tf.zeros(())
    one = tf.ones([1, rows.count]) / tf.cast(tf.maximum(rows.count, 1), tf.float32)
    seen = tf.reshape(tf.matmul(one, part), [-1, 3])
    left, right = axis_filters.source_range(columns, tf.shape(seen)[0])
    return tf.reduce_sum(tf.reduce_mean(seen[left:right], 0) * tf.constant(_GREY))


def draw_colours(augment, grey, seed):
    """All colour changes as pixel @ matrix + light, (3, 3) and () float32, for RGB of 0..255.

    Brightness and contrast scale all colours. Saturation and hue scale and rotate them around the
    grey axis. Without clipping, the result does not depend on their order.

    Args:
        augment: the ranges of the changes.
        grey: () float32, mean grey of the image.
        seed: (2,) integers.
    """
    draws = tf.random.stateless_uniform((2, 4), seed)
    draws = tf.where(draws[0] < 0.5, 2 * draws[1] - 1, 0.0)  # -1..1, or 0 for no change
    brightness = 1 + draws[0] * augment.brightness
    contrast = 1 + draws[1] * augment.contrast
    saturation = 1 + draws[2] * augment.saturation
    angle = draws[3] * augment.hue * math.pi / 180
    cos, sin = saturation * tf.cos(angle), saturation * tf.sin(angle)
    zero, one = tf.zeros(()), tf.ones(())
    turn = tf.stack([zero, zero, zero, zero, cos - one, -sin, zero, sin, cos - one])
    # the change is added to the identity, because the two tables are inverse only to three digits
    change = tf.eye(3) + tf.constant(_FROM_YIQ) @ tf.reshape(turn, [3, 3]) @ tf.constant(_TO_YIQ)
    about = grey * brightness if augment.contrast_about == "mean" else zero
    return tf.transpose(change) * (brightness * contrast), (1 - contrast) * about
