"""Training images per second beside the bare JPEG decode of the same files, in turn, in one run.

    python benchmarks/input_pipeline.py --data RECORDS --row ssd_mobilenet_v1_voc

Bare decode: the files' bytes in memory through `tf.io.decode_jpeg` alone, by as many threads. Only
the ratio of neighbouring runs means anything on a shared machine.
"""

import argparse
import itertools
import os
import statistics
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
    parser.add_argument("overrides", nargs="*", help="e.g. data.augment.expand=0")
    flags = parser.parse_args()

    from kdet import models
    from kdet.data import Records, train_batches
    from kdet.overrides import override

    records = Records.open(flags.data, "train")
    data = override(models.recipe(flags.row), flags.overrides).data
    steps = flags.images // flags.batch
    ours = itertools.cycle([train_batches(records, data, flags.batch, steps, seed=0)])
    bare = itertools.cycle([decoding(records, steps * flags.batch)])
    pairs = []
    for number in range(flags.runs + 1):  # the first warms up
        rates = [steps * flags.batch / seconds(next(d)) for d in (ours, bare)]
        if number:
            pairs.append(rates)
            print(f"augmented {rates[0]:.0f}/s   bare decode {rates[1]:.0f}/s")
    middle, ratios = statistics.median, sorted(a / b for a, b in pairs)
    sizes = records.sizes.mean(0).round().astype(int)
    print("\n| row | mean size | images/s | bare decode images/s | ratio (min, median, max) |")
    print("|---|---|---|---|---|")
    print(
        f"| {flags.row} | {sizes[0]}x{sizes[1]} | {middle(p[0] for p in pairs):.0f} "
        f"| {middle(p[1] for p in pairs):.0f} "
        f"| {ratios[0]:.2f}, **{middle(ratios):.2f}**, {ratios[-1]:.2f} |"
    )


def decoding(records, count):
    """A dataset of `count` decoded images, as often as it takes; nothing else is done to them."""
    import tensorflow as tf

    from kdet.data.decode import parse

    stored = [
        parse(records.read(k))["image/encoded"].numpy() for k in range(min(len(records), count))
    ]
    dataset = tf.data.Dataset.from_tensor_slices(stored).repeat().take(count)
    return dataset.map(tf.io.decode_jpeg, num_parallel_calls=tf.data.AUTOTUNE).prefetch(16)


def seconds(dataset):
    """How long it takes to go through a dataset."""
    start = time.perf_counter()
    for _ in dataset:
        pass
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
