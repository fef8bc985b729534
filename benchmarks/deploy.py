"""Size, speed and agreement of exported detectors, as a table.

    python benchmarks/deploy.py runs/mine yolov3_mobilenet_v1@320 mask_rcnn_r50_fpn_1x@320

A row of the zoo gets random weights, whose scores are nearly equal, so its boxes may differ where
scores are close. All engines and the detector's own graph run in turns in one process, one image
per call and with all cores. The time is from a prepared image to detections.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import report

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
MODULES = {"litert": "ai_edge_litert", "onnxruntime": "onnxruntime", "openvino": "openvino"}


def measure(name, image, rounds, int8=None):
    """The rows of the table for one model.

    Args:
        name: MODEL or MODEL@SIDE.
        image: (H, W, 3) uint8 array, or None for a drawn one.
        rounds: calls of each engine.
        int8: a data set that calibrates a file of 8-bit integers, or None.
    """
    name, _, side = name.partition("@")
    detector = kdet.load(name, weights=None) if name in kdet.names() else kdet.load(name)
    data = fixed_data(detector.data, (int(side), int(side)) if side else None)
    size = data.canvas_sizes()[-1]
    image = sample_image(size) if image is None else image
    inputs = image_batch([image], data)
    calls, sizes, errors, found = {"kdet": lambda: detector(inputs)}, {}, {}, {}
    exports = dict(EXPORTS) | ({"LiteRT, int8": ("q.tflite", "litert")} if int8 else {})
    with tempfile.TemporaryDirectory() as folder:
        for label, (file, engine) in exports.items():
            path, more = Path(folder) / file, {"int8": int8} if file[0] == "q" else {}
            try:
                detector.export(path, size=size, **more)
                exported = from_export(path, engine)
            except KdetError as error:
                errors[label] = str(error)
                continue
            calls[label] = partial(exported, image_batch([image], exported.data))
            files = [path, path.with_suffix(".bin")]
            sizes[label] = sum(f.stat().st_size for f in files if f.exists()) / 1e6
        runs = [partial(seconds, call, label, found) for label, call in calls.items()]
        times = dict(zip(calls, report.take_turns(runs, 1, rounds)))  # the first call compiles
    model = f"{name} {size[0]}x{size[1]}"
    rows = []
    for label, taken in times.items():
        exact = label != "kdet" and "int8" not in label
        row = {"model": model, "engine": label, "MB": sizes.get(label)}
        row["ms"] = report.milliseconds(taken)
        # how many times as fast as the detector's own graph
        row["ratio"] = None if label == "kdet" else report.ratio(taken, times["kdet"])
        row["detections that agree"] = agreement(found[label], found["kdet"]) if exact else None
        rows.append(row)
    rows += [{"model": model, "engine": f"{label} ({why})"} for label, why in errors.items()]
    return rows


def seconds(call, label, found):
    """The seconds of one call, whose result is kept in `found[label]`."""
    start = time.perf_counter()
    found[label] = {name: np.asarray(value) for name, value in call().items()}
    return time.perf_counter() - start


def engine_versions():
    """Versions of TensorFlow, and of the engines that are installed."""
    installed = [name for name in MODULES.values() if importlib.util.find_spec(name)]
    return report.versions("tensorflow", "keras", *installed)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="MODEL or MODEL@SIDE")
    parser.add_argument("--image", help="a photo; default: rectangles")
    parser.add_argument("--int8", help="a converted data set, for a row of 8-bit integers")
    report.add_options(parser, {"--runs": 10})
    flags = parser.parse_args()
    image = None if flags.image is None else load_image(flags.image)
    rows = [row for name in flags.models for row in measure(name, image, flags.runs, flags.int8)]
    note = "A ratio above 1 means that the engine is faster than the graph of the detector."
    report.publish(flags, "Exported detectors", rows, engine_versions(), note)


if __name__ == "__main__":
    main()
