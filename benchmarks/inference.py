"""Compares the speed of detectors of kdet and of torchvision, which run alternately.

    python -m venv peer && peer/bin/pip install torch torchvision
    python benchmarks/inference.py --peer peer/bin/python
    python benchmarks/inference.py --peer peer/bin/python --row ssd_mobilenet_v1_voc --batch 8

Both sides have random weights, the same number of threads, and their own post-processing. With
random weights, NMS has the largest number of candidates on both sides. On a shared machine, only
the ratio of two consecutive runs can be trusted. If the networks differ, compare GFLOP/s.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import tempfile
import time

import report

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
    parser.add_argument("--row", default="retinanet_r50_fpn_1x", choices=ROWS)
    parser.add_argument("--size", help="height x width of the image; default: the row's own")
    report.add_options(parser, {"--peer": ..., "--batch": 1, "--runs": 10, "--warmup": 3})
    flags = parser.parse_args()
    size, names = ROWS[flags.row]
    size = flags.size or size

    peers = [Peer(flags, name, SIDES.get(name, size)) for name in names]
    detector, network, work = kdet_runs(flags.row, *sides(size), flags)
    runs = [detector, network, *(peer.run for peer in peers)]
    ours, alone, *others = report.take_turns(runs, flags.warmup, flags.runs)
    rows = [result(f"kdet {flags.row}", size, work, ours, None, flags)]
    for peer, times in zip(peers, others):
        shown = report.ratio(ours, times)
        rows.append(result(f"torchvision {peer.name}", peer.size, peer.gflops, times, shown, flags))
        peer.close()
    after = statistics.median(1 - n / d for n, d in zip(alone, ours))
    used = report.versions("tensorflow", "keras", peers=[peers[0].versions])
    note = f"Of the time of {flags.row}, batch {flags.batch}, {after:.0%} is after the network."
    report.publish(flags, "Inference, whole detector", rows, used, note)


def result(name, size, gflops, times, slower, flags):
    """The row of one detector."""
    rate = flags.batch / statistics.median(times)
    return {
        "detector": name,
        "size": size,
        "batch": flags.batch,
        "GFLOPs": gflops,
        "ms": report.milliseconds(times),
        "images/s": rate,
        "GFLOP/s": gflops * rate,
        "slower than kdet": slower,
    }


def sides(size):
    """(height, width) from the text "HxW"."""
    return tuple(map(int, size.split("x")))


def kdet_runs(row, height, width, flags):
    """Two functions that return seconds, for the detector and for its network, and GFLOPs."""
    import tensorflow as tf
    from noise import detection_batch

    from kdet import models
    from kdet.zoo.cards import measure

    tf.config.threading.set_intra_op_parallelism_threads(flags.threads)
    detector = models.load(row, weights=None)
    batch = detection_batch(flags.batch, height, width)
    inputs = {name: tf.constant(value) for name, value in batch.items()}
    network = tf.function(detector.outputs)

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
    """A detector or an operation of torchvision in a process that waits while others run.

    The process starts at once, so that it gets ready while kdet compiles.

    Args:
        flags: parsed options, with "peer", and with "threads" and "batch" where they matter.
        name, size: see `torchvision_peer.py`.
        options: other options of that script, e.g. mode="train".
    """

    def __init__(self, flags, name, size, **options):
        script = os.path.join(os.path.dirname(__file__), "torchvision_peer.py")
        options = {"threads": 1, "batch": 1, **vars(flags), **options}
        wanted = ("threads", "batch", "mode", "device", "precision")
        more = [f"--{key}={options[key]}" for key in wanted if key in options]
        self.name, self.size, self._ready = name, size, None
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [flags.peer, script, name, size, f"--short={SHORT}", *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    @property
    def versions(self):
        """E.g. "torch 2.14.1, torchvision 0.29.1"."""
        return self._first_lines()[0]

    @property
    def gflops(self):
        """GFLOPs of one image."""
        return float(self._first_lines()[1])

    def run(self):
        """The seconds of one call. Raises RuntimeError if the process has ended."""
        self._first_lines()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
        return float(self._line())

    def close(self):
        """Ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _first_lines(self):
        self._ready = self._ready or (self._line(), self._line())
        return self._ready

    def _line(self):
        if line := self._process.stdout.readline():
            return line.strip()
        code = self._process.wait()
        self._errors.seek(0)
        reason = self._errors.read().strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"{self.name} of torchvision ended with code {code}, {reason[0]}")


if __name__ == "__main__":
    main()
