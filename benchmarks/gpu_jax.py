"""Compares detectors of kdet on JAX with those of torchvision on one GPU, in three precisions.

    python benchmarks/gpu_jax.py --peer peer/bin/python
    python benchmarks/gpu_jax.py --rows faster_rcnn_r50_fpn_1x --precisions tf32,bf16 --seconds 400

Inference is a whole detector with NMS. A training step has targets, losses, gradients and SGD with
momentum. Weights and images are random and already on the device, and both sides take turns. kdet
is compiled by `jax.jit`. torchvision runs as it is, and cuDNN chooses its kernels by time, except
for Mask R-CNN, whose shapes change. This needs JAX, Keras, NumPy and Pillow, but no TensorFlow. The
peer is another Python with --peer, or this one if it has torch and torchvision. Without a GPU, both
sides run on the CPU. A line is printed as soon as it is there.

fp32    full precision of products
tf32    fp32 whose products may use TensorFloat-32
bf16    Keras's policy mixed_bfloat16, and torch's autocast
"""

import argparse
import gc
import importlib.util
import itertools
import os
import statistics
import sys
import time
from functools import partial

import inference
import report

# row: (height x width, torchvision's detectors to compare with); torchvision has no YOLOv3 and no
# Cascade R-CNN
ROWS = {
    "ssd_mobilenet_v1_voc": inference.ROWS["ssd_mobilenet_v1_voc"],
    "yolov3_darknet": ("608x608", ()),
    **{name: row for name, row in inference.ROWS.items() if "r50_fpn" in name},
    "cascade_rcnn_r50_fpn_1x": ("800x1344", ()),
}
# precision: (policy of Keras, JAX's default precision of matrix products and convolutions)
PRECISIONS = {
    "fp32": ("float32", "highest"),
    "tf32": ("float32", "tensorfloat32"),
    "bf16": ("mixed_bfloat16", "tensorfloat32"),
}
SMALL = {  # changes of --small, by the start of the row's name
    "ssd": ("model.backbone.width=0.25",),
    "yolov3": (),
    "retinanet": ("model.width=16", "model.depth=1"),
    ("faster", "mask", "cascade"): (
        *("model.width=16", "model.head_width=16", "model.roi_batch_size=16"),
        *(f"model.rpn_{a}_nms_top_n_{b}=50" for a in ("pre", "post") for b in ("train", "test")),
    ),
}
COLUMNS = ("row", "device", "precision", "what", "kdet ms", "torchvision ms", "ratio")
COLUMNS += ("compilation s", "note")


def main():
    """Prints a table for docs/benchmarks.md."""
    flags = options()
    os.environ["KERAS_BACKEND"] = "jax"
    # the other side needs memory of the same GPU
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    flags.device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    start, detectors, rows, peers, late = time.perf_counter(), {}, [], [], []
    print(report.head(COLUMNS), end="", flush=True)
    for case in cases(flags):
        if time.perf_counter() - start > flags.seconds:
            late.append(" ".join(case[:2]) + f" {described(case)}")
            continue
        for row in compare(case, flags, detectors, peers):
            rows.append(row)
            print(report.line(row, COLUMNS), end="", flush=True)
    versions = report.versions("jax", "keras", peers=peers[:1])
    note = f"Not started after {flags.seconds:.0f} s: {'; '.join(late)}." if late else ""
    print(f"\n{report.describe(report.machine(flags.threads))}; {report.listed(versions)}\n{note}")
    report.save(flags, "Detectors on JAX", rows, versions, note)


def options():
    """The parsed options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default=",".join(ROWS), help="names with commas")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--inference", default="1,8", help="batches of inference, or empty")
    parser.add_argument("--training", default="8", help="batches of training, or empty")
    parser.add_argument("--calls", type=int, default=5, help="calls of each side in a round")
    parser.add_argument("--seconds", type=float, default=1e9, help="starts nothing after this time")
    parser.add_argument("--small", action="store_true", help="tiny detectors of 128 pixels")
    report.add_options(parser, {"--peer": None, "--runs": 10, "--warmup": 1})
    flags = parser.parse_args()
    for name, known in (("rows", ROWS), ("precisions", PRECISIONS)):
        if wrong := set(getattr(flags, name).split(",")) - set(known):
            parser.error(f"--{name}: expected some of {','.join(known)}, got {','.join(wrong)}")
    if flags.peer is None and all(map(importlib.util.find_spec, ("torch", "torchvision"))):
        flags.peer = sys.executable
    return flags


def cases(flags):
    """Yields (row, precision, "detect" or "train", batch)."""
    for row, precision in itertools.product(flags.rows.split(","), flags.precisions.split(",")):
        for mode, batches in (("detect", flags.inference), ("train", flags.training)):
            for batch in filter(None, batches.split(",")):
                yield row, precision, mode, int(batch)


def described(case):
    """What is measured in a case, e.g. "inference, batch 1"."""
    _, _, mode, batch = case
    return f"{'inference' if mode == 'detect' else 'training step'}, batch {batch}"


def compare(case, flags, detectors, versions):
    """Yields the rows of one case, one for each peer, or one without a peer.

    Args:
        case: an element of `cases`.
        flags: parsed options.
        detectors: the last detector by its row and policy, for the next case.
        versions: list to which the versions of the peers are added.
    """
    import jax

    row, precision, mode, batch = case
    size, names = ROWS[row]
    size = "128x128" if flags.small else size
    same = {} if flags.small else inference.SIDES
    peers = [  # they start here, and get ready while kdet compiles
        inference.Peer(
            flags, name, same.get(name, size), mode=mode, batch=batch, precision=precision
        )
        for name in (names if flags.peer else ())
    ]
    with jax.default_matmul_precision(PRECISIONS[precision][1]):
        ours = Side("kdet", partial(kdet_run, case, size, flags.small, detectors), flags.calls)
        theirs = [Side("torchvision", partial(peer_run, p, versions), flags.calls) for p in peers]
        sides = [ours, *theirs]
        first, *times = report.take_turns([s.round for s in sides], flags.warmup, flags.runs)
    for peer in peers:
        peer.close()
    for side, found, name in itertools.zip_longest(theirs or [None], times, names if peers else ()):
        yield {
            "row": f"{row} / {name}" if name else row,
            "device": jax.devices()[0].device_kind,
            "precision": precision,
            "what": described(case),
            "kdet ms": report.milliseconds(first),
            "torchvision ms": report.milliseconds(found) if found else None,
            "ratio": report.ratio(first, found) if found else None,
            "compilation s": ours.first,
            "note": "; ".join(s.note for s in (ours, side) if s and s.note),
        }


def kdet_run(case, size, small, detectors):
    """A function that runs a detector of kdet once and returns seconds; see `compare`."""
    import jax_detectors

    row, precision, mode, batch = case
    key = row, PRECISIONS[precision][0]
    if key not in detectors:
        detectors.clear()
        gc.collect()  # models have cycles, and the memory of the GPU is needed
        changes = next(value for start, value in SMALL.items() if row.startswith(start))
        detectors[key] = jax_detectors.build(*key, changes if small else ())
    make = {"detect": jax_detectors.detection, "train": jax_detectors.training}[mode]
    return partial(inference.seconds, make(detectors[key], batch, *inference.sides(size)))


def peer_run(peer, versions):
    """A function that runs a peer once and returns seconds."""
    versions.append(peer.versions)
    return peer.run


class Side:
    """kdet or a peer, which is timed until it fails. Then its times are NaN, and `note` says why.

    Args:
        name: for the note.
        prepare: a function that makes a function that returns the seconds of one call.
        calls: calls in a round.

    Attributes:
        first: seconds of the first call, which compiles; None if it failed.
        note: the reason of the failure in one line, or "".
    """

    def __init__(self, name, prepare, calls):
        self.name, self.calls, self.note = name, calls, ""
        self._run = self._safely(prepare)
        self.first = self._run and self._safely(self._run)

    def round(self):
        """The median of the seconds of some calls, or NaN."""
        if self.note:
            return float("nan")
        taken = self._safely(lambda: [self._run() for _ in range(self.calls)])
        return statistics.median(taken) if taken else float("nan")

    def _safely(self, function):
        try:
            return function()
        except Exception as error:  # whatever fails, the other rows shall be measured
            reason = (str(error).strip().splitlines() or [""])[0][:120]
            self.note = f"{self.name}: {type(error).__name__}: {reason}"
            return None


if __name__ == "__main__":
    main()
