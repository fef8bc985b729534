"""Random augmentation of stretched training images: `kdet.config.Augment`.

All changes are drawn from `example["seed"]` first. Then they are applied in one pass over the
pixels. Their order is that of the reference.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from kdet.config import Data
from kdet.data.augment import axis_filters
from kdet.data.augment.view import draw_view, view_boxes
from kdet.data.decode import decode_part, filter_objects
from kdet.data.transforms import pixel_matrix, scale_boxes

_VIEW, _COLOUR, _METHOD, _MIXUP, _PARTNER = 3, 4, 5, 6, 7  # folded into the seed
_GREY = (0.299, 0.587, 0.114)
# from R G B to Y I Q and back, with the reference's numbers
_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.321), (0.211, -0.523, 0.311))
_FROM_YIQ = ((1.0, 0.956, 0.621), (1.0, -0.272, -0.647), (1.0, -1.107, 1.705))


def augmented(data: Data, side):
    """Augments an example, resizes it to `side` and normalises it, together with its boxes.

    The example has an uint8 "image", or "encoded" (from `decode` with `pixels=False`), of which
    only the visible part is decoded. If it has another example as "partner", the two are mixed, and
    "scores", (n,) float32, are the mixup weights of the boxes. Crowds are left out.

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
    alpha = data.augment.mixup
    first, second = tf.unstack(
        tf.random.stateless_gamma((2,), _fold(example["seed"], _MIXUP), alpha)
    )
    mixes = example.get("mixes", True)
    return tf.where(mixes, first / (first + second), 1.0)


def _size(example):
    """(2,) int32 h, w. For an encoded image it is the recorded size."""
    return example["original_size"] if "encoded" in example else tf.shape(example["image"])[:2]


def _part(example, size, top, left, height, width):
    """Pixels (h, w, 3) uint8 of at least this part of the image, and their top and left."""
    if "encoded" not in example:
        return example["image"][top : top + height, left : left + width], top, left
    who = tf.strings.as_string(example["image_id"])
    return decode_part(example["encoded"], tf.stack(size), who, top, left, height, width)


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
    """The augmented image, (side, side, 3) float32, normalised."""
    matrix, offset = pixel_matrix(data)
    fill = np.array(data.augment.fill, np.float32) @ matrix + offset
    method = _method(data, seed)
    shrink = (view.rows.length >= side) & (view.columns.length >= side)
    own = [tf.unstack(size, 2) for size in sizes]
    if len(examples) > 1:
        own.append((view.rows.size, view.columns.size))
    high, wide = zip(*own)
    down = axis_filters.axis_filters(method, view.rows, high, side, shrink, strips=None)
    across = axis_filters.axis_filters(method, view.columns, wide, side, shrink, view.mirrored)
    mixed = []
    for example, size, share, rows, columns in zip(examples, own, shares, down, across):
        top, bottom = axis_filters.source_range(rows, size[0])
        left, right = axis_filters.source_range(columns, size[1])
        rows = rows._replace(weight=rows.weight * share) if len(examples) > 1 else rows
        image, top, left = _part(example, size, top, left, bottom - top, right - left)
        rows = rows._replace(base=rows.base - top)
        columns = columns._replace(base=columns.base - left)
        mixed.append((axis_filters.mix_rows(image, rows), rows, columns))
    colours, light = draw_colours(data.augment, _grey(data.augment, mixed), _fold(seed, _COLOUR))
    # Normalisation and the channel order are part of the colour matrix, so they cost no time.
    colours @= matrix
    inside = light * matrix.sum(0) + offset - fill
    limits = offset, 255 * matrix.sum(0) + offset
    make = _mixed_pictures if len(examples) > 1 else _picture
    image = make(mixed, down[-1], across[-1], side, colours, inside, fill, limits)
    return tf.reshape(image, [side, side, 3])


def _picture(mixed, rows, columns, side, colours, inside, fill, limits):
    """One image in its frame. It is clipped before padding, because a frame is often larger."""
    ((part, rows, columns),) = mixed
    inside = columns.cover[:, None] * inside
    part = axis_filters.mix_columns(part, columns, colours, inside + fill)
    # Pixels outside of the image count as 0, so the frame's colour is added for their share.
    frame = rows.cover[: rows.count, None] - 1
    inside = tf.reshape(inside, [1, -1])[:, : 3 * columns.count]
    part = tf.cond(tf.reduce_min(frame) < -1e-5, lambda: part + frame * inside, lambda: part)
    part = _clipped(part, limits, columns.count)
    if len(set(fill.tolist())) == 1:
        return axis_filters.pad_to(part, rows, columns, side, fill[0])
    part -= tf.tile(fill, [columns.count])
    return axis_filters.pad_to(part, rows, columns, side) + tf.tile(fill, [side])


def _mixed_pictures(mixed, rows, columns, side, colours, inside, fill, limits):
    """Like `_picture` for two images. The smaller image is padded with black, not with `fill`."""
    image = tf.add_n(
        [
            axis_filters.pad_to(axis_filters.mix_columns(m, c, colours), r, c, side)
            for m, r, c in mixed
        ]
    )
    room = tf.stack([rows.first, side - rows.first - rows.count])
    down = tf.pad(rows.cover[: rows.count], [room])
    room = tf.stack([columns.first, side - columns.first - columns.count])
    across = tf.pad(columns.cover[: columns.count], [room])
    inside = tf.reshape(across[:, None] * inside, [1, -1])
    image += down[:, None] * inside + tf.tile(fill, [side])
    return _clipped(image, limits, side)


def _clipped(image, limits, count):
    if all(len(set(v.tolist())) == 1 for v in limits):
        return tf.clip_by_value(image, limits[0][0], limits[1][0])
    low, high = (tf.tile(v, [count]) for v in limits)
    return tf.minimum(tf.maximum(image, low), high)


def _method(data, seed):
    names = data.augment.methods
    if not names:
        return data.interpolation
    draw = tf.random.stateless_uniform((), _fold(seed, _METHOD), 0, len(names), tf.int32)
    return draw, names


def _grey(augment, mixed):
    """() float32, mean grey of the visible part of the images, or 0 if contrast does not use it."""
    if not augment.contrast or augment.contrast_about != "mean":
        return tf.zeros(())
    means = []
    for part, rows, columns in mixed:
        one = tf.ones([1, rows.count]) / tf.cast(tf.maximum(rows.count, 1), tf.float32)
        seen = tf.reshape(tf.matmul(one, part), [-1, 3])
        left, right = axis_filters.source_range(columns, tf.shape(seen)[0])
        means.append(tf.reduce_mean(seen[left:right], 0))
    return tf.reduce_sum(tf.add_n(means) * tf.constant(_GREY))


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
