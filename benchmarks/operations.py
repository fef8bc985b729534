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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from inference import Peer, processor, seconds  # noqa: E402

SIDES = ((200, 336), (100, 168), (50, 84), (25, 42))  # of P2 to P5
# name: boxes, bins per side, with gradients
ALIGN = {"inference": (1000, 7, False), "masks": (100, 14, False), "training": (1024, 7, True)}
# name: boxes, kept, groups that do not suppress each other
SUPPRESS = {
    "2000 boxes": (2000, 2000, 1),
    "5 levels": (4819, 1000, 5),
    "C4 train": (12000, 2000, 1),
}

# candidates beside what the models use: the resampler in inference, the gather in training; blocks
ALIGN_WAYS = ("gather", "gather by XLA", "resampler")
SUPPRESS_WAYS = ("graph", "TensorFlow's op")


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="Python that has torch and torchvision")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    flags = parser.parse_args()
    print(f"\n{datetime.date.today()}, {processor()}, {flags.threads} threads, fp32\n")
    print("| operation | kdet ms | torchvision ms | ratio (min, median, max) | other ways, ms |")
    print("|---|---|---|---|---|")
    for kind, cases in (("roi_align", ALIGN), ("nms", SUPPRESS)):
        for name, facts in cases.items():
            with tempfile.TemporaryDirectory() as folder:
                compare(kind, name, facts, pathlib.Path(folder) / "case.npz", flags)


def compare(kind, name, facts, path, flags):
    """Prints the row of one case."""
    values = inputs(kind, *facts)
    np.savez(path, facts=np.array(facts), **values)
    make, ways = {"roi_align": (align, ALIGN_WAYS), "nms": (suppress, SUPPRESS_WAYS)}[kind]
    runs = [make(values, *facts, way) for way in ("used", *ways)]
    peer = Peer(flags.peer, kind, str(path), flags)
    rounds = []
    for number in range(flags.warmup + flags.runs):
        times = [seconds(run) if run else float("nan") for run in runs] + [peer.run()]
        if number >= flags.warmup:
            rounds.append(times)
    peer.close()
    used, *others, theirs = (1e3 * statistics.median(column) for column in zip(*rounds))
    ratios = sorted(times[-1] / times[0] for times in rounds)
    said = f"{ratios[0]:.2f}, **{statistics.median(ratios):.2f}**, {ratios[-1]:.2f}"
    other = ", ".join(f"{way} {ms:.1f}" for way, ms in zip(ways, others) if ms == ms)
    print(f"| {kind}, {name} | {used:.1f} | {theirs:.1f} | {said} | {other} |", flush=True)


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


def align(values, count, bins, learn, way):
    """A function that pools `count` boxes from a pyramid, with the maps' gradients if asked.

    Args:
        way: "used", what the models do, or one of `ALIGN_WAYS`.
    """
    import tensorflow as tf

    from kdet.ops import roi_align

    random = np.random.default_rng(0)
    maps = {
        f"P{level}": tf.constant(random.normal(size=(1, *side, 256)), tf.float32)
        for level, side in enumerate(SIDES, 2)
    }
    boxes = tf.constant(values["boxes"][None])
    gather = learn if way == "used" else way != "resampler"

    @tf.function(autograph=False, jit_compile="XLA" in way)
    def run(maps, boxes):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            pooled = roi_align.multilevel_roi_align(maps, boxes, bins, repeatable=gather)
            total = tf.reduce_sum(tf.square(pooled))
        return tape.gradient(total, maps) if learn else pooled

    return lambda: tf.nest.map_structure(lambda x: x.numpy(), run(maps, boxes))


def suppress(values, count, keep, groups, way):
    """A function that suppresses `count` boxes at IoU 0.7; None where this way cannot.

    Args:
        way: "used", what the models do, or one of `SUPPRESS_WAYS`.
    """
    import tensorflow as tf

    from kdet.ops import nms, tf_kernels

    boxes, scores = (tf.constant(values[name][None]) for name in ("boxes", "scores"))
    group = tf.range(count)[None] % groups if groups > 1 else None
    if way == "TensorFlow's op":
        if groups > 1:
            return None
        call = tf.function(lambda b, s: [tf.image.non_max_suppression(b[0], s[0], keep, 0.7)])
    else:

        def blocks(boxes, scores):
            return nms.batched_nms(boxes, scores, tf.ones_like(scores, tf.bool), 0.7, keep, group)

        call = tf.function(blocks, autograph=False)
        if way == "graph":
            with tf_kernels.without_xla():
                call = call.get_concrete_function(boxes, scores)
    return lambda: [x.numpy() for x in call(boxes, scores)]


if __name__ == "__main__":
    sys.exit(main())
