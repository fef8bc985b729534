"""Size, speed and agreement of exported detectors, as a table.

    python benchmarks/deploy.py runs/mine yolov3_mobilenet_v1@320 mask_rcnn_r50_fpn_1x@320

A row of the zoo gets random weights, whose scores are nearly equal, so its boxes may differ where
scores are close. All engines and the detector's own graph run in turns in one process, one image
per call and with all cores. The time is from a prepared image to detections.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import kdet
from kdet.data.batches import image_batch
from kdet.errors import KdetError
from kdet.predict import load_image
from kdet.serving.check import agreement, sample_image
from kdet.serving.engines import from_export
from kdet.serving.fixed import fixed_data

EXPORTS = {
    "LiteRT": ("x.tflite", "litert"),
    "ONNX Runtime": ("x.onnx", "onnxruntime"),
    "OpenVINO": ("x.xml", "openvino"),
}
HEAD = "| model | engine | MB | ms | times as fast as the detector | detections that agree |"


def measure(name, image, rounds, int8=None):
    """Prints the rows of the table for one model."""
    name, _, side = name.partition("@")
    detector = kdet.load(name, weights=None) if name in kdet.names() else kdet.load(name)
    data = fixed_data(detector.data, (int(side), int(side)) if side else None)
    size = data.canvas_sizes()[-1]
    image = sample_image(size) if image is None else image
    inputs = image_batch([image], data)
    calls, sizes, found = {"kdet": lambda: detector(inputs)}, {}, {}
    exports = dict(EXPORTS) | ({"LiteRT, int8": ("q.tflite", "litert")} if int8 else {})
    with tempfile.TemporaryDirectory() as folder:
        for label, (file, engine) in exports.items():
            path, more = Path(folder) / file, {"int8": int8} if file[0] == "q" else {}
            try:
                detector.export(path, size=size, **more)
            except KdetError as error:
                print(f"| {name} | {label} | | | | {error} |", flush=True)
                continue
            exported = from_export(path, engine)
            raw = image_batch([image], exported.data)
            calls[label] = lambda exported=exported, raw=raw: exported(raw)
            files = [path, path.with_suffix(".bin")]
            sizes[label] = sum(f.stat().st_size for f in files if f.exists()) / 1e6
        times = {label: [] for label in calls}
        for k in range(rounds + 1):
            for label, call in calls.items():
                start = time.perf_counter()
                found[label] = {n: np.asarray(v) for n, v in call().items()}
                if k:  # the first call compiles
                    times[label].append(time.perf_counter() - start)
    own = np.array(times["kdet"])
    for label, taken in times.items():
        low, middle, high = np.quantile(own / np.array(taken), (0, 0.5, 1))
        ratio = "1" if label == "kdet" else f"{middle:.2f} ({low:.2f} to {high:.2f})"
        exact = label != "kdet" and "int8" not in label
        same = f"{agreement(found[label], found['kdet']):.0%}" if exact else ""
        megabytes = f"{sizes[label]:.1f}" if label in sizes else ""
        ms = 1000 * statistics.median(taken)
        print(
            f"| {name} {size[0]}x{size[1]} | {label} | {megabytes} | {ms:.0f} | {ratio} | {same} |"
        )


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="MODEL or MODEL@SIDE")
    parser.add_argument("--image", help="a photo; default: rectangles")
    parser.add_argument("--int8", help="a converted data set, for a row of 8-bit integers")
    parser.add_argument("--rounds", type=int, default=10)
    flags = parser.parse_args()
    image = None if flags.image is None else load_image(flags.image)
    print(HEAD, "|---|---|---|---|---|---|", sep="\n")
    for name in flags.models:
        measure(name, image, flags.rounds, flags.int8)


if __name__ == "__main__":
    main()
