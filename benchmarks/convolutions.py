"""Measures how fast large 3x3 convolutions are in kdet, in TensorFlow, and in torch.

    python benchmarks/convolutions.py --peer peer/bin/python

No detector can be much faster than these convolutions, so `page.py` divides the speed of detectors
by the highest rate of each side. Without --peer, torch does not run. kdet computes convolutions
with many filters in parts, or by Eigen on processors without AVX-512. For both, TensorFlow's usual
operation for the whole runs as well.
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

# (height, width, channels, filters), of maps of an 800 x 1344 image and of YOLOv3
SHAPES = (
    (200, 336, 128, 128),
    (200, 336, 256, 256),
    (100, 168, 256, 256),
    (100, 168, 256, 720),
    (100, 168, 512, 512),
    (50, 84, 512, 512),
    (38, 38, 256, 512),
    (19, 19, 512, 1024),
)


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tiny map, to try this script")
    report.add_options(parser, {"--peer": None, "--runs": 10, "--warmup": 3})
    flags = parser.parse_args()

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(flags.threads)
    rows, lines = [], []
    for shape in ((8, 8, 16, 512),) if flags.small else SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(compare(shape, pathlib.Path(folder) / "case.npz", flags, lines))
    used = report.versions("tensorflow", peers=lines[:1])
    report.publish(flags, "Large convolutions", rows, used)


def compare(shape, path, flags, lines):
    """The row of one convolution. The versions of the peer are added to `lines`."""
    height, width, channels, filters = shape
    np.savez(path, settings=np.array(shape))
    peer = Peer(flags, "convolution", str(path)) if flags.peer else None
    layer, whole, parts = convolution(*shape)
    calls = [partial(seconds, layer), parts != 1 and partial(seconds, whole), peer and peer.run]
    ours, wholes, theirs = report.take_turns(calls, flags.warmup, flags.runs)
    work = 2 * 9 * height * width * channels * filters / 1e9
    row = {
        "convolution": f"{height}x{width}, {channels} to {filters} channels",
        "GFLOPs": work,
        "kdet GFLOP/s": work / statistics.median(ours),
        "parts": parts,
        "in one part GFLOP/s": work / statistics.median(wholes) if parts != 1 else None,
        "torchvision GFLOP/s": None,
        "ratio": None,
    }
    if peer:
        lines.append(peer.versions)
        peer.close()
        row["torchvision GFLOP/s"] = work / statistics.median(theirs)
        row["ratio"] = report.ratio(ours, theirs)
    return row


def convolution(height, width, channels, filters):
    """One convolution, with a variable for the kernel as in a network.

    Returns:
        Functions that compute it as a layer of kdet and as TensorFlow's operation for the whole,
        and the parts of the layer, or "Eigen" if that computes it.
    """
    import tensorflow as tf

    from kdet.layers import Conv2D
    from kdet.ops import tf_layers

    image = tf.random.stateless_normal((1, height, width, channels), (0, 1))
    layer = Conv2D(filters, 3, padding="same", use_bias=False)
    layer.build(image.shape)
    split = tf.function(layer, autograph=False)
    whole = tf.function(lambda image: tf.nn.conv2d(image, layer.kernel, 1, "SAME"), autograph=False)
    # a call returns when the result is there, on a CPU
    parts = "Eigen" if tf_layers.avoids_onednn() else tf_layers.conv_parts(layer.kernel.shape)
    return lambda: split(image), lambda: whole(image), parts


if __name__ == "__main__":
    main()
