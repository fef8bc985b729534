"""Makes batches (`kdet.data.schema`) from records or images."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from kdet.config import Augment, Data
from kdet.data import transforms
from kdet.data.augment.color_mixup import augmented, mixup_partner
from kdet.data.batch_plan import (
    batch_blocks,
    canvas_index,
    canvases_of,
    eval_plan,
    resized_shape,
    side_plan,
)
from kdet.data.decode import decode
from kdet.data.records import Records
from kdet.data.repeats import repeat_factors
from kdet.data.statistics import read_statistics
from kdet.errors import DataError

_AHEAD = 2  # batches prepared in advance; a batch of 16 images of 896 x 1408 takes 240 MB


def train_batches(
    records: Records,
    data: Data,
    schedule_batch: int,
    steps: int,
    seed: int,
    start_step: int = 0,
    shard: tuple[int, int] = (0, 1),
    pixels: bool = False,
) -> tf.data.Dataset:
    """Training batches for steps `start_step` to `steps`. Equal arguments give equal batches.

    Args:
        schedule_batch: images per step, all workers together.
        steps: steps of the whole run.
        seed: not negative. Order and augmentation are functions of (seed, step, position).
        start_step: first step. The result is the same as skipping so many batches.
        shard: (i, n) selects worker i's share of each batch, rows i*b/n to (i+1)*b/n.
        pixels: leave augmented images as uint8 RGB, for `transforms.normalise` on the device.
    Returns:
        Batch dicts of the static shape of a canvas. `Records.iterate` gives one-line errors.
    Raises:
        DataError: the batch is not a multiple of the workers, or an image has too many objects.
    """
    _check_arguments(records, data, schedule_batch, steps, start_step, shard)
    share = schedule_batch // shard[1]
    plan = _planned(records, data, schedule_batch, steps, seed, start_step, shard)
    canvases = _host(np.asarray(data.canvas_sizes(), np.int32))
    changes = data.augment != Augment()
    sides = _host(side_plan(data, steps, seed)) if changes else None
    flip, pad_truth = transforms.flip(data.flip), transforms.pad_truth(data.max_boxes)

    def read(number, *ahead):  # the bytes of a remote record were read ahead, but not a partner's
        payload = records.checked(number, *ahead) if ahead else records.read(number)
        return decode(payload, data.max_edges, not changes)

    def one(step, position, number, canvas, *ahead):
        key = _example_seed(seed, step, position)
        example = {**read(number, *ahead), "seed": key}
        if changes:
            seen = step * schedule_batch
            example |= mixup_partner(data.augment, read, len(records), number, seen, key)
            parts = augmented(data, sides[step]), pad_truth
        else:
            parts = (flip, transforms.resize_and_pad(data, canvases[canvas]), pad_truth)
        return _batch_keys(transforms.chain(*parts)(example), train=True)

    later = transforms.normalise(data) if changes and not pixels else None
    return _batched(plan, one, share, later)


def _planned(records, data, batch, steps, seed, start, shard):
    """(step, position in the global batch, record, canvas index) of each image of a worker.

    Remote records have their bytes as a fifth entry.
    """
    repeats, canvases = _repeats(records, data.repeat_threshold), data.canvas_sizes()
    shards = records.index["shard"]
    arguments = (records.sizes, canvases, data, batch, steps, seed, repeats, shards)
    batch_blocks(*arguments)  # raises its errors here, and not in the thread of the pipeline
    worker, workers = shard
    share = batch // workers
    mine = np.arange(worker * share, (worker + 1) * share)

    def blocks():
        for first, numbers, canvas in batch_blocks(*arguments):
            skip = max(start - first, 0)
            numbers, canvas = numbers[skip:, mine], canvas[skip:].astype(np.int64)
            step = first + skip + np.arange(len(numbers))
            columns = (step[:, None], mine[None], numbers, canvas[:, None])
            yield tuple(np.broadcast_to(column, numbers.shape).ravel() for column in columns)

    signature = (tf.TensorSpec((None,), tf.int64),) * 4
    if records.remote:
        signature += (tf.TensorSpec((None,), tf.string),)
    rows = (lambda: records.read_ahead(blocks(), column=2)) if records.remote else blocks
    images = tf.data.Dataset.from_generator(rows, output_signature=signature).unbatch()
    return images.apply(tf.data.experimental.assert_cardinality((steps - start) * share))


def _repeats(records, threshold):
    """How often each image occurs in an epoch, or None for once."""
    if not threshold:
        return None
    return repeat_factors(read_statistics(records, len(records)), threshold)


def _check_arguments(records, data, schedule_batch, steps, start_step, shard):
    worker, workers = shard
    if not 0 <= worker < workers or schedule_batch % workers:
        raise DataError(f"batch {schedule_batch} has no share {worker} of {workers} workers")
    if not 0 <= start_step <= steps:
        raise DataError(f"start_step must be 0..{steps}, got {start_step}")
    _check_objects(records, data)


def _example_seed(seed, step, position):
    # The position is that in the global batch, so the number of workers changes no augmentation.
    key = tf.stack([tf.constant(seed, tf.int64), step])
    return tf.random.experimental.stateless_fold_in(key, position)


@functools.lru_cache(maxsize=1)  # a training evaluates the same images again and again
def eval_batches(records: Records, data: Data, batch: int) -> tf.data.Dataset:
    """Evaluation batches with every image once, grouped by canvas.

    "repeated" is True for rows that only complete a batch. Images are equal to those of `prepare`.
    There is no ground truth in a batch, because results are matched by image_id.

    Raises:
        DataError: an image fits on no canvas.
    """
    canvases = data.canvas_sizes()
    plan, canvas, real = eval_plan(records.sizes, canvases, data, batch)
    steps = len(plan)
    plan, real = _host(plan), _host(real)
    sizes = _host(np.asarray(canvases, np.int32)[canvas])

    def one(k):
        step, position = k // batch, k % batch
        example = decode(records.read(plan[step, position]))
        return {
            **prepare(example["image"], data, sizes[step]),
            "image_id": example["image_id"],
            "repeated": ~real[step, position],
        }

    return _batched(tf.data.Dataset.range(steps * batch), one, batch)


def prepare(image, data: Data, canvas=None) -> dict:
    """Prepares one image for a detector. It can be traced with unknown height and width.

    Prediction, evaluation and export all use this function.

    Args:
        image: (H, W, 3) uint8 RGB.
        data: the settings of resizing and normalisation.
        canvas: (2,) int32 h, w to pad to. By default the smallest canvas that the image fits on.
    Returns:
        image (h, w, 3) float32, resized_size and original_size (2,) float32, without batch axis.
    Raises:
        tf.errors.InvalidArgumentError: the image fits on no canvas.
    """
    # Always on the CPU, so that prediction, evaluation and export give the same bits.
    with tf.device("CPU:0"):
        image = tf.convert_to_tensor(image, tf.uint8)
        height, width = tf.shape(image)[0], tf.shape(image)[1]
        if canvas is None:
            _, high, wide = resized_shape(height, width, data, xp=tf)
            index = canvas_index(high, wide, data.canvas_sizes(), xp=tf)
            fits = tf.debugging.Assert(index >= 0, ["no canvas holds an image of", height, width])
            with tf.control_dependencies([fits]):
                canvas = tf.gather(tf.constant(data.canvas_sizes(), tf.int32), index)
        example = {"image": image, "original_size": tf.stack([height, width])}
        return _batch_keys(transforms.resize_and_pad(data, canvas)(example))


def image_batch(images, data: Data) -> dict:
    """Several images as one batch, on the smallest canvas that all of them fit on.

    Args:
        images: sequence of (H, W, 3) uint8 RGB arrays of any sizes.
        data: the settings of resizing and normalisation.
    Returns:
        image (B, h, w, 3), resized_size and original_size (B, 2), float32. For landscape and
        portrait images together, (h, w) are the largest height and width of their canvases.
    Raises:
        DataError: no images, or an image that is not (H, W, 3) uint8.
    """
    images = [np.asarray(image) for image in images]
    if not images:
        raise DataError("expected at least one image, got none")
    for k, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise DataError(f"image {k}: expected (H, W, 3) uint8, got {image.shape} {image.dtype}")
    sizes = np.array([image.shape[:2] for image in images])
    _, high, wide = resized_shape(sizes[:, 0], sizes[:, 1], data)
    canvases = np.array(data.canvas_sizes())
    index = int(canvas_index(high.max(), wide.max(), data.canvas_sizes()))
    if index < 0:
        canvas = canvases[canvases_of(sizes, data.canvas_sizes(), data)].max(0)
    else:
        canvas = canvases[index]
    prepared = [prepare(image, data, tf.constant(canvas, tf.int32)) for image in images]
    return {key: tf.stack([p[key] for p in prepared]) for key in prepared[0]}


def _batch_keys(example, train=False):
    keys = ("image", "resized_size", "original_size")
    if train:
        keys += ("image_id", "boxes", "labels", "valid")
        keys += tuple(key for key in ("scores", "mask_edges", "mask_parts") if key in example)
    batch = {key: example[key] for key in keys}
    if train:
        batch["sample_seed"] = transforms.sample_seed(example["seed"])
    batch["image"] = tf.ensure_shape(batch["image"], [None, None, 3])
    batch["original_size"] = tf.cast(batch["original_size"], tf.float32)
    return batch


def _batched(numbers, function, batch, later=None):
    options = tf.data.Options()
    options.deterministic = True
    # Images are processed in parallel. To split each small operation as well would cost time.
    options.threading.max_intra_op_parallelism = 1
    # `train_batches` already gives each worker its share, so TensorFlow must not split again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    examples = numbers.map(function, num_parallel_calls=tf.data.AUTOTUNE)
    batches = examples.batch(batch, drop_remainder=True)
    batches = batches.map(later) if later else batches
    return batches.prefetch(_AHEAD).with_options(options)


def _host(array):
    # On a GPU, every look-up of the input pipeline would be a copy between GPU and CPU.
    with tf.device("CPU:0"):
        return tf.constant(array)


def _check_objects(records, data):
    if data.truncate_boxes:
        return
    crowded = np.flatnonzero(records.index["objects"] > data.max_boxes)
    if len(crowded):
        most = int(records.index["objects"].max())
        raise DataError(
            f"{records.folder}: record {crowded[0]} (image id {records.image_ids[crowded[0]]}) has "
            f"{records.index['objects'][crowded[0]]} objects, data.max_boxes is {data.max_boxes}; "
            f"set it to {most} or more"
        )
