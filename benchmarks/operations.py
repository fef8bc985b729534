"""Compares the speed of RoIAlign and NMS of kdet and of torchvision, which run alternately.

    python benchmarks/operations.py --peer peer/bin/python

Both sides have the same boxes, scores and feature maps: a pyramid of an 800 x 1344 image, and
proposals of all sizes. See `inference.py` for the environment of the peer.
"""

import argparse
import os
import pathlib
import tempfile
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import report  # noqa: E402
from inference import Peer, seconds  # noqa: E402

SIDES = ((200, 336), (100, 168), (50, 84), (25, 42))  # of P2 to P5
# name: (number of boxes, bins per side, whether gradients are computed)
ALIGN = {"inference": (1000, 7, False), "masks": (100, 14, False), "training": (1024, 7, True)}
# name: (number of boxes, number of kept boxes, number of groups, which are suppressed separately)
SUPPRESS = {
    "2000 boxes": (2000, 2000, 1),
    "5 levels": (4819, 1000, 5),
    "C4 train": (12000, 2000, 1),
}

# alternatives to the implementation of the models, which use the resampler in inference, the gather
# in training, and NMS in blocks
ALIGN_WAYS = ("gather", "gather by XLA", "resampler")
SUPPRESS_WAYS = ("graph", "TensorFlow's op")


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    report.add_options(parser, {"--peer": ..., "--runs": 10, "--warmup": 3})
    flags = parser.parse_args()
    rows = []
    for kind, cases in (("roi_align", ALIGN), ("nms", SUPPRESS)):
        for name, settings in cases.items():
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "case.npz"
                row, line = compare(kind, name, settings, path, flags)
            rows.append(row)
    report.publish(flags, "Operations", rows, report.versions("tensorflow", "keras", peers=[line]))


def compare(kind, name, settings, path, flags):
    """The row of one case, and the versions of the peer."""
    values = inputs(kind, *settings)
    np.savez(path, settings=np.array(settings), **values)
    make, ways = {"roi_align": (align, ALIGN_WAYS), "nms": (suppress, SUPPRESS_WAYS)}[kind]
    peer = Peer(flags, kind, str(path))
    runs = [make(values, *settings, way) for way in ("used", *ways)]
    runs = [run and partial(seconds, run) for run in runs]
    used, *others, theirs = report.take_turns([*runs, peer.run], flags.warmup, flags.runs)
    peer.close()
    others = zip(ways, map(report.milliseconds, others))
    row = {
        "operation": f"{kind}, {name}",
        "kdet ms": report.milliseconds(used),
        "torchvision ms": report.milliseconds(theirs),
        "ratio": report.ratio(used, theirs),
        "other ways, in ms": ", ".join(f"{way} {ms:.1f}" for way, ms in others if ms == ms),
    }
    return row, peer.versions


def inputs(kind, count, *_):
    """Random boxes and scores. For NMS, ten boxes overlap at each place."""
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
    """A function that pools `count` boxes from a pyramid.

    Args:
        values: the result of `inputs`.
        count: number of boxes.
        bins: bins per side.
        learn: whether the gradients of the maps are computed.
        way: "used" for the implementation of the models, or one of `ALIGN_WAYS`.
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
    """A function that runs NMS on `count` boxes at IoU 0.7, or None if `way` does not support it.

    Args:
        values: the result of `inputs`.
        count: number of boxes.
        keep: largest number of boxes to keep.
        groups: number of groups, in which NMS runs separately.
        way: "used" for the implementation of the models, or one of `SUPPRESS_WAYS`.
    """
    import tensorflow as tf

    from kdet.ops import graphs, nms

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
            with graphs.without_xla():
                call = call.get_concrete_function(boxes, scores)
    return lambda: [x.numpy() for x in call(boxes, scores)]


if __name__ == "__main__":
    main()
