"""RoIAlign and suppression of kdet and of torchvision, in turn, in one run.

    python benchmarks/operations.py --peer peer/bin/python

The same boxes, scores and maps on both sides: a pyramid of an 800 x 1344 image, proposals of all
sizes. See `inference.py` for the environment of the peer.
"""

import argparse
import datetime
import os
import pathlib
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from inference import Peer, processor  # noqa: E402

SIDES = ((200, 336), (100, 168), (50, 84), (25, 42))  # of P2 to P5
# name: boxes, bins per side, with gradients
ALIGN = {"inference": (1000, 7, False), "masks": (100, 14, False), "training": (1024, 7, True)}
# name: boxes, kept, groups that do not suppress each other
SUPPRESS = {
    "2000 boxes": (2000, 2000, 1),
    "5 levels": (4819, 1000, 5),
    "C4 train": (12000, 2000, 1),
}


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="Python that has torch and torchvision")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    flags = parser.parse_args()
    print(f"\n{datetime.date.today()}, {processor()}, {flags.threads} threads, fp32\n")
    print("| operation | kdet ms | torchvision ms | ratio (min, median, max) |")
    print("|---|---|---|---|")
    for kind, cases in (("roi_align", ALIGN), ("nms", SUPPRESS)):
        for name, facts in cases.items():
            with tempfile.TemporaryDirectory() as folder:
                compare(kind, name, facts, pathlib.Path(folder) / "case.npz", flags)


def compare(kind, name, facts, path, flags):
    """Prints the row of one case."""
    values = inputs(kind, *facts)
    np.savez(path, facts=np.array(facts), **values)
    run = {"roi_align": align, "nms": suppress}[kind](values, *facts)
    peer = Peer(flags.peer, kind, str(path), flags)
    pairs = []
    for number in range(flags.warmup + flags.runs):
        start = time.perf_counter()
        run()
        pair = time.perf_counter() - start, peer.run()
        if number >= flags.warmup:
            pairs.append(pair)
    peer.close()
    ours, theirs = (1e3 * statistics.median(column) for column in zip(*pairs))
    ratios = sorted(b / a for a, b in pairs)
    said = f"{ratios[0]:.2f}, **{statistics.median(ratios):.2f}**, {ratios[-1]:.2f}"
    print(f"| {kind}, {name} | {ours:.1f} | {theirs:.1f} | {said} |", flush=True)


def inputs(kind, count, *_):
    """Boxes of all sizes anywhere; where they are to be suppressed, ten around each place."""
    random = np.random.default_rng(0)
    places, spread = (count, 0.0) if kind == "roi_align" else (count // 10, 0.1)
    place = np.arange(count) % places
    center = (random.uniform(0, 1, (places, 2)) * (1344, 800))[place]
    side = np.exp(random.uniform(np.log(16), np.log(500), (places, 2)))[place]
    center = center + side * spread * random.normal(size=(count, 2))
    side = side * np.exp(spread * random.normal(size=(count, 2)))
    boxes = np.concatenate([center - side / 2, center + side / 2], 1)
    boxes = np.clip(boxes, 0, [1344, 800, 1344, 800]).astype(np.float32)
    return {"boxes": boxes, "scores": random.permutation(count).astype(np.float32) / count}


def align(values, count, bins, learn):
    """A function that pools `count` boxes from a pyramid, with the maps' gradients if asked."""
    import tensorflow as tf

    from kdet.layers.roi_heads import RoIAlign

    layer = RoIAlign(bins)
    random = np.random.default_rng(0)
    maps = {
        f"P{level}": tf.constant(random.normal(size=(1, *side, 256)), tf.float32)
        for level, side in enumerate(SIDES, 2)
    }
    boxes = tf.constant(values["boxes"][None])

    @tf.function(autograph=False)
    def run(maps, boxes):
        if not learn:
            return layer(maps, boxes, training=False)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            total = tf.reduce_sum(tf.square(layer(maps, boxes, training=True)))
        return tape.gradient(total, maps)

    return lambda: tf.nest.map_structure(lambda x: x.numpy(), run(maps, boxes))


def suppress(values, count, keep, groups):
    """A function that suppresses `count` boxes at IoU 0.7."""
    import tensorflow as tf

    from kdet.ops import nms

    boxes, scores = (tf.constant(values[name][None]) for name in ("boxes", "scores"))
    group = tf.range(count)[None] % groups if groups > 1 else None

    @tf.function(autograph=False)
    def run(boxes, scores):
        return nms.suppress(boxes, scores, tf.ones_like(scores, tf.bool), 0.7, keep, group)

    return lambda: [x.numpy() for x in run(boxes, scores)]


if __name__ == "__main__":
    sys.exit(main())
