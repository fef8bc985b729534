"""One image through a kdet detector and through torchvision's, in turn, in one run.

    python -m venv peer && peer/bin/pip install torch torchvision
    python benchmarks/inference.py --peer peer/bin/python

Both sides have random weights, the same image size and thread count, and their own
post-processing included. Random weights give both of them the full load of candidates to suppress.
Only the ratio of a pair of neighbouring runs means anything on a shared machine.
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
PEERS = {"retinanet_r50_fpn_1x": "retinanet_resnet50_fpn"}


def main():
    """Prints a row for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="Python that has torch and torchvision")
    parser.add_argument("--row", default="retinanet_r50_fpn_1x", choices=PEERS)
    parser.add_argument("--size", default="800x1344", help="height x width of the image")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    flags = parser.parse_args()
    height, width = map(int, flags.size.split("x"))

    peer = Peer(flags.peer, PEERS[flags.row], height, width, flags.threads)
    ours = kdet_run(flags.row, height, width, flags.threads)
    pairs = []
    for number in range(flags.warmup + flags.runs):
        pair = ours(), peer.run()
        if number >= flags.warmup:
            pairs.append(pair)
            print(f"kdet {pair[0]:.3f} s   torchvision {pair[1]:.3f} s", file=sys.stderr)
    peer.close()
    report(flags, peer.versions, pairs)


def kdet_run(row, height, width, threads):
    """A function that detects once on a random image and returns the seconds."""
    import numpy as np
    import tensorflow as tf

    from kdet import models

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    detector = models.load(row, weights=None)
    image = np.random.default_rng(0).normal(size=(1, height, width, 3)).astype("float32")
    size = np.array([[height, width]], "float32")
    inputs = {"image": tf.constant(image), "resized_size": size, "original_size": size}

    def run():
        start = time.perf_counter()
        detector(inputs)["scores"].numpy()
        return time.perf_counter() - start

    return run


class Peer:
    """torchvision in a process of its own, asleep while we run."""

    def __init__(self, python, name, height, width, threads):
        script = os.path.join(os.path.dirname(__file__), "torchvision_peer.py")
        self.process = subprocess.Popen(
            [python, script, name, *map(str, (height, width, threads))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions = self.process.stdout.readline().strip()

    def run(self):
        """Seconds of one detection."""
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def report(flags, peer_versions, pairs):
    """The figures as Markdown."""
    import keras
    import tensorflow as tf

    ours, theirs = zip(*pairs)
    ratios = sorted(b / a for a, b in pairs)
    print(f"\n{datetime.date.today()}, {processor()}, {flags.threads} threads, fp32, batch 1")
    print(f"Python {platform.python_version()}, TensorFlow {tf.__version__}, ", end="")
    print(f"Keras {keras.__version__}; {peer_versions}\n")
    print("| row | size | kdet s | torchvision s | ratio (min, median, max) |")
    print("|---|---|---|---|---|")
    middle = statistics.median
    print(
        f"| {flags.row} | {flags.size} | {middle(ours):.3f} | {middle(theirs):.3f} "
        f"| {ratios[0]:.2f}, **{middle(ratios):.2f}**, {ratios[-1]:.2f} |"
    )


def processor():
    """The processor's name, where the system tells it."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
