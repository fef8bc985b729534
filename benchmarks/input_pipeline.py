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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main():
    """Prints a row for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of records, with train/ or without")
    parser.add_argument("--row", default="ssd_mobilenet_v1_voc")
    parser.add_argument("--images", type=int, default=640, help="per run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--peer", help="Python that has torch and torchvision")
    parser.add_argument("overrides", nargs="*", help="e.g. data.augment.expand=0")
    flags = parser.parse_args()

    from kdet import models
    from kdet.config.text import override
    from kdet.data import Records, train_batches

    records = Records.open(flags.data, "train")
    data = override(models.recipe(flags.row), flags.overrides).data
    steps = flags.images // flags.batch
    ours = itertools.cycle([train_batches(records, data, flags.batch, steps, seed=0)])
    bare = itertools.cycle([decoding(records, steps * flags.batch)])
    theirs = torchvision(records, flags) if flags.peer else None
    pairs, others = [], []
    for number in range(flags.runs + 1):  # the first run is a warm-up
        (wall, cpu), (bare_wall, bare_cpu) = (seconds(next(d)) for d in (ours, bare))
        if number:
            wall, cpu = wall / flags.batch, cpu / flags.batch
            pairs.append((1 / wall, 1 / bare_wall, 1000 * cpu, bare_cpu / cpu))
            print("augmented {:.0f}/s   bare decode {:.0f}/s".format(*pairs[-1][:2]))
            others.append(1000 * theirs() if theirs else float("nan"))
    middle, ratios = statistics.median, sorted(p[0] / p[1] for p in pairs)
    sizes = records.sizes.mean(0).round().astype(int)
    print("\n| row | mean size | images/s | bare decode images/s ", end="")
    print("| ratio (min, median, max) | CPU ms per image | ratio of CPU times ", end="")
    print("| torchvision ms per image |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {flags.row} | {sizes[0]}x{sizes[1]} | {middle(p[0] for p in pairs):.0f} "
        f"| {middle(p[1] for p in pairs):.0f} "
        f"| {ratios[0]:.2f}, **{middle(ratios):.2f}**, {ratios[-1]:.2f} "
        f"| {middle(p[2] for p in pairs):.1f} | {middle(p[3] for p in pairs):.2f} "
        f"| {middle(others):.1f} |"
    )


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
    """A function that returns torchvision's seconds per image, over the first `count` records."""
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
        flags.threads = 1
        peer = Peer(flags.peer, "augment", str(path), flags)
    return lambda: peer.run() / len(files)


def seconds(dataset):
    """Wall time and CPU time of all threads in seconds per element, without the first element."""
    elements = iter(dataset)
    next(elements)  # with the time of the set-up
    start = time.perf_counter(), time.process_time()
    count = sum(1 for _ in elements)
    return (time.perf_counter() - start[0]) / count, (time.process_time() - start[1]) / count


if __name__ == "__main__":
    main()
