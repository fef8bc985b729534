"""Shows where the time of a training step or of inference goes, by kind of operation.

    python benchmarks/account.py --row retinanet_r50_fpn_1x --batch 2
    python benchmarks/account.py --row faster_rcnn_r50_fpn_1x --inference

TensorFlow runs one operation at a time here, each with all threads, so that the times of the
operations add up to the time of the step. "Between operations" is what is left. Weights and images
are random, see `training.py` and `inference.py`.
"""

import argparse
import collections
import os
import re
import statistics
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import inference  # noqa: E402
import report  # noqa: E402
import training  # noqa: E402

# kind: pattern of "name:type" of an operation. The first that is found counts.
KINDS = {
    "RoIAlign": r"roi_align",
    "depthwise convolutions, gradient of the input": r":.*DepthwiseConv2dNativeBackpropInput",
    "depthwise convolutions, gradient of the kernel": r":.*DepthwiseConv2dNativeBackpropFilter",
    "depthwise convolutions": r":.*DepthwiseConv2d",
    "convolutions, gradient of the input": r":.*Conv2D(Custom)?BackpropInput",
    "convolutions, gradient of the kernel": r":.*Conv2DBackpropFilter",
    "convolutions": r":.*Conv2D|:Conv$",
    "matrix products": r":.*MatMul",
    "batch norms, gradient": r":.*BatchNormGrad",
    # held to AVX2, a norm is a product and a sum
    "batch norms": r":.*BatchNorm|\b(bn|\w+_bn|\w+_dw)\w*/(Mean|EuclideanNorm|Square|mul|add)",
    "ReLU, gradient": r":.*Relu6?Grad",
    "ReLU": r":.*Relu",
    "maximum of windows": r":.*MaxPool",
    "update of the weights": r":Resource.*|:Assign.*|(?i:optimizer|momentum|rmsprop)",
    "compiled by XLA": r":_?Xla",
    "copies and sums of maps": r":(Pad|PadV2|Tile|AddN|_MklAddN|Slice|StridedSlice|ConcatV2|Pack)$",
}
REST = "targets, losses, boxes and the rest", "between operations"


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", default="retinanet_r50_fpn_1x", choices=inference.ROWS)
    parser.add_argument("--inference", action="store_true", help="not a training step")
    parser.add_argument("--most", type=int, default=0, help="also list so many operations")
    report.add_options(parser, {"--batch": 1, "--runs": 3, "--warmup": 3})
    flags = parser.parse_args()
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(1)
    run = runs(flags, *inference.sides(inference.ROWS[flags.row][0]))
    for _ in range(flags.warmup):
        run()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        seconds = [run() for _ in range(flags.runs)]
        tf.profiler.experimental.stop()
        times = read(next(Path(folder).rglob("*.xplane.pb")))
    step = 1e3 * statistics.mean(seconds)
    times = {name: spent / flags.runs for name, spent in times.items()}
    what = f"{flags.row}, {'inference' if flags.inference else 'training'}, batch {flags.batch}"
    found = [
        {"operations": kind, "ms": spent, "share": spent / step}
        for kind, spent in account(times, step).items()
    ]
    versions, note = report.versions("tensorflow", "keras"), f"All together: {step:.0f} ms."
    report.publish(flags, f"Account of {what}", found, versions, note)
    for name, spent in sorted(times.items(), key=lambda pair: -pair[1])[: flags.most]:
        print(f"{spent:8.1f} ms  {name}")


def runs(flags, height, width):
    """A function that makes one step or one detection and returns seconds."""
    if flags.inference:
        inference.SHORT = 0.0  # a second run would be in the profile, too
        flags.engine = None
        return inference.kdet_runs(flags.row, height, width, flags)[0]
    steps = training.kdet_steps(flags, height, width)
    return lambda: next(steps).seconds


def read(path):
    """{"name:type" of an operation: ms} from a profile of TensorFlow."""
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    space, times = XSpace(), collections.Counter()
    space.ParseFromString(path.read_bytes())
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            name = plane.event_metadata[event.metadata_id].name
            # other events have no type, as "Run", or two colons, as "ExecutorState::Process"
            if re.fullmatch(r"[^:]+:[A-Za-z0-9_]+", name):
                times[name] += event.duration_ps / 1e9
    return times


def account(times, step):
    """The time of each kind of operation, the longest first.

    Args:
        times: result of `read`, for one step.
        step: ms of a step.
    Returns:
        {kind: ms}; the values add up to `step`.
    """
    found = collections.Counter()
    for name, spent in times.items():
        found[next((k for k, p in KINDS.items() if re.search(p, name)), REST[0])] += spent
    return dict(found.most_common()) | {REST[1]: step - sum(found.values())}


if __name__ == "__main__":
    main()
