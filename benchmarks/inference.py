"""Compares the speed of detectors of kdet and of torchvision, which run alternately.

    python -m venv peer && peer/bin/pip install torch torchvision
    python benchmarks/inference.py --peer peer/bin/python
    python benchmarks/inference.py --peer peer/bin/python --row ssd_mobilenet_v1_voc --batch 8
    python benchmarks/inference.py --peer peer/bin/python --engine openvino

Both sides have random weights, the same number of threads, and their own post-processing. With
random weights, NMS has the largest number of candidates on both sides. On a shared machine, only
the ratio of two consecutive runs can be trusted. If the networks differ, compare GFLOP/s.
"""

import argparse
import contextlib
import os
import pathlib
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
FILES = {"litert": "x.tflite", "onnxruntime": "x.onnx", "openvino": "x.xml"}
SIDES = {"ssdlite320_mobilenet_v3_large": "320x320", "ssd300_vgg16": "300x300"}


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", default="retinanet_r50_fpn_1x", choices=ROWS)
    parser.add_argument("--size", help="height x width of the image; default: the row's own")
    parser.add_argument("--engine", choices=FILES, help="an exported kdet runs as well, batch 1")
    report.add_options(parser, {"--peer": ..., "--batch": 1, "--runs": 10, "--warmup": 3})
    flags = parser.parse_args()
    if flags.engine and flags.batch > 1:
        parser.error("--engine: exported detectors take one image")
    size, names = ROWS[flags.row]
    size = flags.size or size

    peers = [Peer(flags, name, SIDES.get(name, size)) for name in names]
    detector, network, engine, work = kdet_runs(flags.row, *sides(size), flags)
    runs = [detector, network, engine, *(peer.run for peer in peers)]
    graph, alone, exported, *others = report.take_turns(runs, flags.warmup, flags.runs)
    name, ours = f"kdet {flags.row}", graph
    if engine:
        name, ours = f"{name} in {flags.engine}", exported
    after = None if engine else statistics.median(1 - n / d for n, d in zip(alone, graph))
    rows = [result(name, size, work, ours, None, flags) | {"after the network, share": after}]
    for peer, times in zip(peers, others):
        shown = report.ratio(ours, times)
        row = result(f"torchvision {peer.name}", peer.size, peer.gflops, times, shown, flags)
        rows.append(row | {"after the network, share": None})
        peer.close()
    used = report.versions("tensorflow", "keras", peers=[peers[0].versions])
    note = ""
    if engine:
        note = f"{flags.row} takes {report.milliseconds(graph):.0f} ms in TensorFlow's graph."
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
    """Functions that return seconds, for the detector, its network, and an engine, and GFLOPs.

    The third function is None without --engine.
    """
    import numpy as np
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
        # `asarray` waits for the result, also on a GPU
        return lambda: tf.nest.map_structure(np.asarray, call(inputs))

    engine = flags.engine and exported_run(detector, (height, width), flags.engine)
    return (
        lambda: seconds(fetched(detector)),
        lambda: seconds(fetched(network)),
        engine and (lambda: seconds(fetched(engine))),
        measure(detector, (height, width))[2],
    )


def exported_run(detector, size, engine):
    """An exported detector, which an engine runs."""
    from kdet.serving.engines import from_export

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / FILES[engine]
        detector.export(path, size=size)
        return from_export(path, engine)


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
