"""Compares the speed of training steps of kdet and of torchvision, which run alternately.

    python benchmarks/training.py --peer peer/bin/python --row ssd_mobilenet_v1_voc --batch 16

Weights and images are random, with eight boxes in each image. A step has targets, losses, gradients
and the update, but no reading of data. See `inference.py` for the environment of the peer.
"""

import argparse
import itertools
import os
import statistics
from dataclasses import replace
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import report  # noqa: E402
from inference import ROWS, SIDES, Peer, sides  # noqa: E402
from noise import training_batch  # noqa: E402


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", default="ssd_mobilenet_v1_voc", choices=ROWS)
    report.add_options(parser, {"--peer": ..., "--batch": 16, "--runs": 5, "--warmup": 2})
    flags = parser.parse_args()
    size, names = ROWS[flags.row]
    peer = Peer(flags, names[0], SIDES.get(names[0], size), mode="train")
    steps = kdet_steps(flags, *sides(size))
    runs = [lambda: next(steps).seconds, peer.run]
    ours, theirs = report.take_turns(runs, flags.warmup, flags.runs)
    peer.close()
    row = {
        "row": f"{flags.row} / {peer.name}",
        "size": size if size == peer.size else f"{size} / {peer.size}",
        "batch": flags.batch,
        "kdet s/step": statistics.median(ours),
        "torchvision s/step": statistics.median(theirs),
        "ratio": report.ratio(ours, theirs),
    }
    used = report.versions("tensorflow", "keras", peers=[peer.versions])
    report.publish(flags, "Training steps", [row], used)


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
    batch = training_batch(flags.batch, height, width, row.data.max_edges)
    batch = {name: tf.constant(value) for name, value in batch.items()}
    return trainer.train(itertools.repeat(batch), until=flags.warmup + flags.runs)


if __name__ == "__main__":
    main()
