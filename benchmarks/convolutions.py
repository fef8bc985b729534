"""Measures how fast large 3x3 convolutions are in TensorFlow, as kdet runs them, and in torch.

    python benchmarks/convolutions.py --peer peer/bin/python

No detector can be much faster than these convolutions, so `page.py` divides the speed of detectors
by the highest rate of each side. Without --peer, only TensorFlow runs.
"""

import argparse
import os
import pathlib
import statistics
import tempfile
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import report  # noqa: E402
from inference import Peer, seconds  # noqa: E402

# (height, width, channels), of maps of an 800 x 1344 image
SHAPES = ((200, 336, 128), (200, 336, 256), (100, 168, 256), (100, 168, 512), (50, 84, 512))


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tiny map, to try this script")
    report.add_options(parser, {"--peer": None, "--runs": 10, "--warmup": 3})
    flags = parser.parse_args()

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(flags.threads)
    rows, lines = [], []
    for shape in ((8, 8, 16),) if flags.small else SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(compare(shape, pathlib.Path(folder) / "case.npz", flags, lines))
    used = report.versions("tensorflow", peers=lines[:1])
    report.publish(flags, "Large convolutions", rows, used)


def compare(shape, path, flags, lines):
    """The row of one convolution. The versions of the peer are added to `lines`."""
    height, width, channels = shape
    np.savez(path, settings=np.array(shape))
    peer = Peer(flags, "convolution", str(path)) if flags.peer else None
    runs = [partial(seconds, convolution(*shape)), peer and peer.run]
    ours, theirs = report.take_turns(runs, flags.warmup, flags.runs)
    work = 2 * 9 * height * width * channels**2 / 1e9
    row = {
        "convolution": f"{height}x{width}, {channels} to {channels} channels",
        "GFLOPs": work,
        "kdet GFLOP/s": work / statistics.median(ours),
        "torchvision GFLOP/s": None,
        "ratio": None,
    }
    if peer:
        lines.append(peer.versions)
        peer.close()
        row["torchvision GFLOP/s"] = work / statistics.median(theirs)
        row["ratio"] = report.ratio(ours, theirs)
    return row


def convolution(height, width, channels):
    """A function that computes one convolution, with a variable for the kernel as in a network."""
    import tensorflow as tf

    image = tf.random.stateless_normal((1, height, width, channels), (0, 1))
    kernel = tf.Variable(tf.random.stateless_normal((3, 3, channels, channels), (0, 2)) / 100)
    call = tf.function(lambda image: tf.nn.conv2d(image, kernel, 1, "SAME"), autograph=False)
    return lambda: call(image)  # which returns when the result is there, on a CPU


if __name__ == "__main__":
    main()
