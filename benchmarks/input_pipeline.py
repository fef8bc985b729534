"""Compares the speed of the training pipeline with JPEG decoding alone, which run alternately.

    python benchmarks/input_pipeline.py --data RECORDS --row ssd_mobilenet_v1_voc

Bare decode is `tf.io.decode_jpeg` of the same files in memory, with as many threads. On a shared
machine, only the ratio of consecutive runs can be trusted. CPU time, summed over all threads, is
more stable. With --peer, torchvision's augmentation for SSD (`augment` in `torchvision_peer.py`)
also runs on the same files, with one thread: decoding, colours, frame, crop, mirroring and a
bilinear resize to 300.
"""

import argparse
import itertools
import os
import pathlib
import statistics
import tempfile
import time

import report

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main():
    """Prints a row for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of records, with train/ or without; default: drawn")
    parser.add_argument("--row", default="ssd_mobilenet_v1_voc")
    parser.add_argument("--images", type=int, default=640, help="per run")
    parser.add_argument("overrides", nargs="*", help="e.g. data.augment.expand=0")
    report.add_options(parser, {"--peer": None, "--batch": 16, "--runs": 5})
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(flags, flags.data or drawn(folder))


def compare(flags, folder):
    """Prints the table of a data set."""
    from kdet import models
    from kdet.config.text import override
    from kdet.data import Records, train_batches

    records = Records.open(folder, "train")
    data = override(models.recipe(flags.row), flags.overrides).data
    steps = flags.images // flags.batch
    ours = itertools.cycle([train_batches(records, data, flags.batch, steps, 0, pixels=True)])
    bare = itertools.cycle([decoding(records, steps * flags.batch)])
    peer, files = torchvision(records, flags) if flags.peer else (None, 1)
    rounds = []
    for number in range(flags.runs + 1):  # the first run is a warm-up
        (wall, cpu), (bare_wall, bare_cpu) = (seconds(next(d)) for d in (ours, bare))
        theirs = peer.run() / files if peer else float("nan")
        if number:
            wall, cpu = wall / flags.batch, cpu / flags.batch
            rounds.append((wall, bare_wall, cpu, bare_cpu, theirs))
            print(f"augmented {1 / wall:.0f}/s   bare decode {1 / bare_wall:.0f}/s", flush=True)
    wall, bare_wall, cpu, bare_cpu, theirs = zip(*rounds)
    sizes = records.sizes.mean(0).round().astype(int)
    row = {
        "row": flags.row,
        "files": f"{sizes[0]}x{sizes[1]}" + ("" if flags.data else ", drawn"),
        "images/s": 1 / statistics.median(wall),
        "bare decode images/s": 1 / statistics.median(bare_wall),
        "ratio": report.ratio(wall, bare_wall),
        "CPU ms": report.milliseconds(cpu),
        "bare decode CPU ms": report.milliseconds(bare_cpu),
        "torchvision CPU ms": report.milliseconds(theirs),
    }
    lines = [peer.versions] if peer else []
    note = "Times are per image. torchvision augments for SSD, with one thread."
    report.publish(
        flags, "Input pipeline", [row], report.versions("tensorflow", "keras", peers=lines), note
    )


def drawn(folder):
    """A drawn data set of 480 x 640 pixels in `folder`. Half of its files are JPEG, half PNG."""
    from kdet.data import make_synthetic

    make_synthetic(folder, 128, 0, (480, 640), masks=False)
    return folder


def decoding(records, count):
    """A dataset of `count` decoded images. It repeats the records if there are fewer."""
    import tensorflow as tf

    from kdet.data.decode import parse

    stored = [
        parse(records.read(k))["image/encoded"].numpy() for k in range(min(len(records), count))
    ]
    dataset = tf.data.Dataset.from_tensor_slices(stored).repeat().take(count)
    return dataset.map(tf.io.decode_jpeg, num_parallel_calls=tf.data.AUTOTUNE).prefetch(16)


def torchvision(records, flags, count=64):
    """A `Peer` that augments the first `count` records with one thread, and their number."""
    import numpy as np
    from inference import Peer

    from kdet.data.decode import decode, parse

    payloads = [records.read(k) for k in range(min(len(records), count))]
    files = [np.frombuffer(parse(p)["image/encoded"].numpy(), np.uint8) for p in payloads]
    boxes = [decode(p)["boxes"].numpy() for p in payloads]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "images.npz"
        arrays = {"lengths": [len(f) for f in files], "counts": [len(b) for b in boxes]}
        np.savez(path, bytes=np.concatenate(files), boxes=np.concatenate(boxes), **arrays)
        peer = Peer(flags, "augment", str(path), threads=1)
        peer.run()  # which reads the file
    return peer, len(files)


def seconds(dataset):
    """Wall time and CPU time of all threads in seconds per element, without the first element."""
    elements = iter(dataset)
    next(elements)  # with the time of the set-up
    start = time.perf_counter(), time.process_time()
    count = sum(1 for _ in elements)
    return (time.perf_counter() - start[0]) / count, (time.process_time() - start[1]) / count


if __name__ == "__main__":
    main()
