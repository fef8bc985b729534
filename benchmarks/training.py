"""Compares the speed of training steps of kdet and of torchvision, which run alternately.

    python benchmarks/training.py --peer peer/bin/python --row ssd_mobilenet_v1_voc --batch 16

Weights and images are random, with eight boxes in each image. A step has targets, losses, gradients
and the update, but no reading of data. See `inference.py` for the environment of the peer.
"""

import argparse
import datetime
import itertools
import os
import platform
import statistics
import sys
from dataclasses import replace
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from inference import ROWS, SIDES, Peer, processor, sides  # noqa: E402


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="Python that has torch and torchvision")
    parser.add_argument("--row", default="ssd_mobilenet_v1_voc", choices=ROWS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    flags = parser.parse_args()
    size, names = ROWS[flags.row]
    reports = kdet_steps(flags, *sides(size))
    peer = Peer(flags.peer, names[0], SIDES.get(names[0], size), flags, "train")
    pairs = []
    for number in range(flags.warmup + flags.runs):
        pair = next(reports).seconds, peer.run()
        if number >= flags.warmup:
            pairs.append(pair)
            print("  ".join(f"{s:.2f} s" for s in pair), file=sys.stderr)
    peer.close()

    import keras
    import tensorflow as tf

    ours, theirs = zip(*pairs)
    ratios = sorted(b / a for a, b in pairs)
    middle = statistics.median
    print(f"\n{datetime.date.today()}, {processor()}, {flags.threads} threads, fp32")
    print(f"Python {platform.python_version()}, TensorFlow {tf.__version__}, ", end="")
    print(f"Keras {keras.__version__}; {peer.versions}; medians of {len(pairs)} rounds\n")
    print("| row | size | batch | kdet s/step | torchvision s/step | ratio (min, median, max) |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {flags.row} / {peer.name} | {size} / {peer.size} | {flags.batch} "
        f"| {middle(ours):.2f} | {middle(theirs):.2f} "
        f"| {ratios[0]:.2f}, **{middle(ratios):.2f}**, {ratios[-1]:.2f} |"
    )


def kdet_steps(flags, height, width):
    """Yields the trainer's report of each step. All steps use the same batch."""
    import tensorflow as tf

    from kdet import models
    from kdet.models.families import family_of
    from kdet.train.trainer import Trainer

    tf.config.threading.set_intra_op_parallelism_threads(flags.threads)
    row = models.recipe(flags.row)
    detector = models.load(flags.row, weights=None)
    trainer = Trainer(
        detector.training_model(),
        partial(family_of(detector.config).targets, detector.config),
        partial(family_of(detector.config).losses, detector.config),
        replace(row.schedule, batch=flags.batch, base_lr=1e-6),
        row.optimizer,
        tf.distribute.get_strategy(),
    )
    one = batch(flags.batch, height, width, row.data.max_edges)
    return trainer.train(itertools.repeat(one), until=flags.warmup + flags.runs)


def batch(count, height, width, edges):
    """A training batch (`kdet.data.schema`) of noise, with eight boxes in every image."""
    import tensorflow as tf

    corner = tf.range(8, dtype=tf.float32)[:, None] / 16
    boxes = tf.concat([corner, corner, corner + 0.3, corner + 0.4], 1)
    boxes *= tf.constant([width, height, width, height], tf.float32)
    size = tf.constant([[height, width]] * count, tf.float32)
    found = {
        "image": tf.random.stateless_normal((count, height, width, 3), (0, 1)),
        "resized_size": size,
        "original_size": size,
        "image_id": tf.range(count, dtype=tf.int64),
        "boxes": tf.repeat(boxes[None], count, 0),
        "labels": tf.repeat(tf.range(8)[None], count, 0),
        "valid": tf.ones((count, 8), tf.bool),
        "sample_seed": tf.range(count),
    }
    if edges:
        x1, y1, x2, y2 = tf.unstack(boxes, axis=1)
        sides_of = [(x1, y1, x2, y1), (x2, y1, x2, y2), (x2, y2, x1, y2), (x1, y2, x1, y1)]
        rectangle = tf.stack([tf.stack(side, 1) for side in sides_of], 1)
        padded = tf.pad(rectangle, [[0, 0], [0, edges - 4], [0, 0]])
        used = tf.where(tf.range(edges) < 4, 0, -1)
        found["mask_edges"] = tf.repeat(padded[None], count, 0)
        found["mask_parts"] = tf.tile(used[None, None], [count, 8, 1])
    return found


if __name__ == "__main__":
    main()
