"""Training images of the single-stage rows, changed at random: `kdet.config.Augment`.

Every change is drawn from `example["seed"]`, then all of them are applied in one pass over the
pixels. The reference's order is kept: what it does first acts on what it does later.
"""

from __future__ import annotations

import math

import tensorflow as tf

from kdet.config import Data
from kdet.data import sample
from kdet.data.geometry import draw_view, view_boxes
from kdet.data.transforms import scale_boxes

_VIEW, _COLOUR, _METHOD, _MIXUP, _PARTNER = 3, 4, 5, 6, 7  # folded into the seed
_GREY = (0.299, 0.587, 0.114)
# Y I Q from R G B and back, as the reference has them
_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.321), (0.211, -0.523, 0.311))
_FROM_YIQ = ((1.0, 0.956, 0.621), (1.0, -0.272, -0.647), (1.0, -1.107, 1.705))


def augmented(data: Data, side):
    """Example with a uint8 image -> augmented, resized to `side`, normalised; boxes go with it.

    Where the example has "partner" (an example too), the two are mixed and "scores", (n,) float32,
    say how much of its image each box belongs to. Crowds are left out.

    Args:
        data: stretched.
        side: () int32.
    """

    @tf.autograph.experimental.do_not_convert
    def apply(example):
        examples = [example] + ([example["partner"]] if "partner" in example else [])
        share = _share(data, example)
        shares = [share, 1 - share][: len(examples)]
        truth = _truth(examples, shares)
        sizes = [tf.shape(e["image"])[:2] for e in examples]
        size = tf.reduce_max(tf.stack(sizes), 0)
        seed = example["seed"]
        view = draw_view(size, truth["boxes"], data.augment, data.flip, _fold(seed, _VIEW))
        image = _image(data, examples, sizes, shares, view, side, seed)
        boxes, keep = view_boxes(truth["boxes"], view)
        far = tf.cast(side, tf.float32)
        scale = far / tf.cast(tf.stack([view.rows.length, view.columns.length]), tf.float32)
        boxes = tf.minimum(scale_boxes(boxes, scale, data.corners), far)
        truth = {name: value[keep] for name, value in {**truth, "boxes": boxes}.items()}
        return {**example, **truth, "image": image, "resized_size": tf.stack([far, far])}

    return apply


def partner(augment, read, records: int, number, seen, seed) -> dict:
    """What mixup adds to an example: "partner", another record, until `augment.mixup_images`.

    Args:
        read: record number -> example.
        records: how many there are; a single one has no partner.
        number: () int64, the example's own number.
        seen: () int64, training images before this step.
    """
    if not augment.mixup or records < 2:
        return {}
    skip = tf.random.stateless_uniform((), _fold(seed, _PARTNER), 1, records, tf.int64)
    other = (number + skip) % records
    if not augment.mixup_images:
        return {"partner": read(other)}
    mixes = seen < augment.mixup_images
    # the images themselves are exchanged for nothing, which costs nothing to mix
    empty = {"image": tf.zeros((1, 1, 3), tf.uint8), "boxes": tf.zeros((0, 4))}
    empty |= {"labels": tf.zeros(0, tf.int32), "crowd": tf.zeros(0, tf.bool)}

    def found():
        example = read(other)
        return {name: example[name] for name in empty}

    return {"partner": tf.cond(mixes, found, lambda: empty), "mixes": mixes}


def _fold(seed, number):
    return tf.random.experimental.stateless_fold_in(seed, number)


def _share(data, example):
    """() float32 of Beta(a, a), by two Gammas; 1 where this step no longer mixes."""
    if "partner" not in example:
        return tf.ones(())
    alpha = data.augment.mixup
    first, second = tf.unstack(
        tf.random.stateless_gamma((2,), _fold(example["seed"], _MIXUP), alpha)
    )
    mixes = example.get("mixes", True)
    return tf.where(mixes, first / (first + second), 1.0)


def _truth(examples, shares):
    found = {"boxes": [], "labels": [], "scores": []}
    for example, share in zip(examples, shares):
        keep = ~example["crowd"] & (share > 0)
        found["boxes"].append(example["boxes"][keep])
        found["labels"].append(example["labels"][keep])
        found["scores"].append(tf.zeros_like(found["labels"][-1], tf.float32) + share)
    truth = {name: tf.concat(values, 0) for name, values in found.items()}
    if len(examples) == 1:
        del truth["scores"]
    return {**truth, "crowd": tf.zeros_like(truth["labels"], tf.bool)}


def _image(data, examples, sizes, shares, view, side, seed):
    """(side, side, 3) float32, normalised."""
    order = [2, 1, 0] if data.channels == "BGR" else [0, 1, 2]
    scale = tf.constant([1 / (255 * s) for s in data.std], tf.float32)
    offset = tf.constant([-m / s for m, s in zip(data.mean, data.std)], tf.float32)
    method = _method(data, seed)
    shrink = (view.rows.length >= side) & (view.columns.length >= side)
    down, across = (sample.taps_of(method, w, side, shrink) for w in (view.rows, view.columns))
    mixed = []
    for example, size, share in zip(examples, sizes, shares):
        rows = sample.line(view.rows._replace(size=size[0]), *down)
        columns = sample.line(view.columns._replace(size=size[1]), *across, view.mirrored)
        image, rows, columns = sample.narrowed(example["image"], rows, columns)
        rows = rows._replace(weight=rows.weight * share)
        mixed.append((sample.mix_rows(image, rows), rows, columns))
    grey = _grey(mixed)
    colours, light = draw_colours(data.augment, grey, _fold(seed, _COLOUR))
    colours, fill = tf.gather(colours, order, axis=1), tf.constant(data.augment.fill, tf.float32)
    fill = tf.gather(fill, order) * scale + offset
    image = tf.add_n(
        [sample.placed(sample.mix_columns(m, c, colours * scale), r, c) for m, r, c in mixed]
    )
    # Where the frame shows, wholly or in part, it takes the place of black.
    # Black beside the smaller of two images belongs to them.
    rows = sample.line(view.rows, *down).cover
    columns = sample.line(view.columns, *across, view.mirrored).cover
    inside = tf.reshape(columns[:, None] * (light * scale + offset - fill), [1, -1])
    image += rows[:, None] * inside + tf.tile(fill, [side])
    low, high = tf.tile(offset, [side]), tf.tile(255 * scale + offset, [side])
    return tf.reshape(tf.minimum(tf.maximum(image, low), high), [side, side, 3])


def _method(data, seed):
    names = data.augment.methods
    if not names:
        return data.interpolation
    draw = tf.random.stateless_uniform((), _fold(seed, _METHOD), 0, len(names), tf.int32)
    return draw, names


def _grey(mixed):
    """() float32, mean grey of what is seen of the images."""
    means = []
    for part, rows, _ in mixed:
        seen = tf.reshape(tf.reduce_sum(part, 0), [-1, 3])
        count = tf.maximum(rows.count * tf.shape(seen)[0], 1)
        means.append(tf.reduce_sum(seen, 0) / tf.cast(count, tf.float32))
    return tf.reduce_sum(tf.add_n(means) * tf.constant(_GREY))


def draw_colours(augment, grey, seed):
    """All colour changes as one: pixel @ matrix + light, (3, 3) and () float32, RGB of 0..255.

    Brightness and contrast stretch all colours alike, saturation and hue stretch and turn them
    around the grey axis; in any order that is the same, clipping aside.

    Args:
        grey: () float32, mean grey of the image.
    """
    draws = tf.random.stateless_uniform((2, 4), seed)
    draws = tf.where(draws[0] < 0.5, 2 * draws[1] - 1, 0.0)  # -1..1; 0 where nothing happens
    brightness = 1 + draws[0] * augment.brightness
    contrast = 1 + draws[1] * augment.contrast
    saturation = 1 + draws[2] * augment.saturation
    angle = draws[3] * augment.hue * math.pi / 180
    cos, sin = saturation * tf.cos(angle), saturation * tf.sin(angle)
    zero, one = tf.zeros(()), tf.ones(())
    turn = tf.stack([zero, zero, zero, zero, cos - one, -sin, zero, sin, cos - one])
    # as a difference from nothing: the two tables are inverse to three digits only
    change = tf.eye(3) + tf.constant(_FROM_YIQ) @ tf.reshape(turn, [3, 3]) @ tf.constant(_TO_YIQ)
    about = grey * brightness if augment.contrast_about == "mean" else zero
    return tf.transpose(change) * (brightness * contrast), (1 - contrast) * about
