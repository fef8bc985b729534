"""Compares the speed of detectors of kdet and of torchvision, which run alternately.

    python -m venv peer && peer/bin/pip install torch torchvision
    python benchmarks/inference.py --peer peer/bin/python
    python benchmarks/inference.py --peer peer/bin/python --row ssd_mobilenet_v1_voc --batch 8

Both sides have random weights, the same number of threads, and their own post-processing. With
random weights, NMS has the largest number of candidates on both sides. On a shared machine, only
the ratio of two consecutive runs can be trusted. If the networks differ, compare GFLOP/s.
"""

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Seconds. A shorter run is repeated and the second one counts, because during the first the CPU
# caches still have the data of the other side.
SHORT = 0.3
SMALL = ("ssdlite320_mobilenet_v3_large", "ssd300_vgg16")
# row: (height x width, torchvision's detectors to compare with)
ROWS = {
    "retinanet_r50_fpn_1x": ("800x1344", ("retinanet_resnet50_fpn",)),
    "faster_rcnn_r50_fpn_1x": ("800x1344", ("fasterrcnn_resnet50_fpn",)),
    "mask_rcnn_r50_fpn_1x": ("800x1344", ("maskrcnn_resnet50_fpn",)),
    "ssd_mobilenet_v1_voc": ("300x300", SMALL),
    "yolov3_mobilenet_v1": ("608x608", SMALL),
    "yolov3_darknet": ("608x608", SMALL),
}
SIDES = {"ssdlite320_mobilenet_v3_large": "320x320", "ssd300_vgg16": "300x300"}


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="Python that has torch and torchvision")
    parser.add_argument("--row", default="retinanet_r50_fpn_1x", choices=ROWS)
    parser.add_argument("--size", help="height x width of the image; default: the row's own")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    flags = parser.parse_args()
    size, names = ROWS[flags.row]
    size = flags.size or size

    detector, network, work = kdet_runs(flags.row, *sides(size), flags)
    peers = [Peer(flags.peer, name, SIDES.get(name, size), flags) for name in names]
    runs = [detector, network, *(peer.run for peer in peers)]
    rounds = []
    for number in range(flags.warmup + flags.runs):
        seconds = [run() for run in runs]
        if number >= flags.warmup:
            rounds.append(seconds)
            print("  ".join(f"{1e3 * s:.1f} ms" for s in seconds), file=sys.stderr)
    for peer in peers:
        peer.close()
    report(flags, size, work, peers, rounds)


def sides(size):
    """(height, width) from the text "HxW"."""
    return tuple(map(int, size.split("x")))


def kdet_runs(row, height, width, flags):
    """Two functions that return seconds, for the detector and for its network, and GFLOPs."""
    import numpy as np
    import tensorflow as tf

    from kdet import models
    from kdet.zoo.cards import measure

    tf.config.threading.set_intra_op_parallelism_threads(flags.threads)
    detector = models.load(row, weights=None)
    image = np.random.default_rng(0).normal(size=(flags.batch, height, width, 3))
    size = tf.constant([[height, width]] * flags.batch, tf.float32)
    inputs = {"image": tf.constant(image, tf.float32), "resized_size": size, "original_size": size}
    network = tf.function(detector.raw)

    def fetched(call):
        # `numpy` waits for the result, also on a GPU
        return lambda: tf.nest.map_structure(lambda x: x.numpy(), call(inputs))

    return (
        lambda: seconds(fetched(detector)),
        lambda: seconds(fetched(network)),
        measure(detector, (height, width))[2],
    )


def seconds(run):
    """The seconds of one run, or of the second run if it is shorter than `SHORT`."""
    for _ in range(2):
        start = time.perf_counter()
        run()
        taken = time.perf_counter() - start
        if taken > SHORT:
            break
    return taken


class Peer:
    """A detector of torchvision in its own process, which waits while other detectors run."""

    def __init__(self, python, name, size, flags, mode="detect"):
        script = os.path.join(os.path.dirname(__file__), "torchvision_peer.py")
        self.name, self.size = name, size
        batch = getattr(flags, "batch", 1)
        self.process = subprocess.Popen(
            [python, script, name, size, str(flags.threads), str(batch), mode, str(SHORT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions = self.process.stdout.readline().strip()
        self.gflops = float(self.process.stdout.readline())

    def run(self):
        """The seconds of one call."""
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def report(flags, size, work, peers, rounds):
    """Prints the results as Markdown."""
    import keras
    import tensorflow as tf

    detector, network, *others = zip(*rounds)
    middle = statistics.median
    after = middle(1 - n / d for n, d in zip(network, detector))
    print(f"\n{datetime.date.today()}, {processor()}, {flags.threads} threads, fp32")
    print(f"Python {platform.python_version()}, TensorFlow {tf.__version__}, ", end="")
    print(f"Keras {keras.__version__}; {peers[0].versions}; medians of {len(rounds)} rounds\n")
    print("| detector | size | batch | GFLOPs | ms | images/s | GFLOP/s | slower than kdet |")
    print("|---|---|---|---|---|---|---|---|")
    rows = [(f"kdet {flags.row}", size, work, detector)]
    rows += [(f"torchvision {p.name}", p.size, p.gflops, t) for p, t in zip(peers, others)]
    for name, shape, gflops, times in rows:
        ratios = sorted(t / ours for t, ours in zip(times, detector))
        shown = f"{ratios[0]:.2f}, **{middle(ratios):.2f}**, {ratios[-1]:.2f}"
        rate = flags.batch / middle(times)
        print(
            f"| {name} | {shape} | {flags.batch} | {gflops:.1f} | {1e3 * middle(times):.1f} "
            f"| {rate:.1f} | {gflops * rate:.0f} | {shown if times is not detector else '-'} |"
        )
    print(f"\nkdet's time after the network: {100 * after:.0f}%")


def processor():
    """The name of the processor, if the system has it."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
