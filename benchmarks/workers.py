"""Measures how the training step scales to several workers, with a stand-in for the network.

    python benchmarks/workers.py --most 4

All workers run on this machine. The forward pass only waits for --compute seconds, so that the
workers do not share the processors for it. Everything else is the real trainer: the batch, the
exchange of normalizers and gradients, the checks and the update of --parameters weights. Each
worker has its own images, so the ideal time does not depend on the number of workers. Efficiency is
the time of one worker divided by that of N. The bytes are counted at the loopback device of Linux.
"""

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import report

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
TENSORS, IMAGES = 100, 16  # number of weights that are equally large, and images of a worker


def main():
    """Prints a table for docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=4, help="1 to this number of workers")
    parser.add_argument("--compute", type=float, default=1.0, help="seconds of a forward pass")
    parser.add_argument("--parameters", type=float, default=5.5e6, help="5.5e6: as SSD has")
    report.add_options(parser, {"--runs": 10, "--warmup": 3})
    flags = parser.parse_args()
    if "TF_CONFIG" in os.environ:
        print(json.dumps(work(flags)))
        return
    rows, alone = [], None
    for count in range(1, flags.most + 1):
        found = together(count)
        step = statistics.median(found["seconds"])
        alone = alone or step
        rows.append({
            "workers": count,
            "step ms": 1e3 * step,
            "images/s": count * IMAGES / step,
            "efficiency": f"{alone / step:.0%}",
            "gradients MB": 4 * found["parameters"] / 1e6,
            "sent by each worker MB": found["bytes"] / count / 1e6,
        })  # fmt: skip
    note = f"The forward pass waits for {flags.compute} s. All workers run on the same cores."
    report.publish(flags, "Workers", rows, report.versions("tensorflow", "keras"), note)


def together(count):
    """Starts `count` workers with the same arguments as this process.

    Returns:
        What the first of them reports, see `work`.
    Raises:
        SystemExit: a worker failed.
    """
    places = addresses(count)
    workers = []
    for index in range(count):
        task = {"cluster": {"worker": places}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
        command = [sys.executable, __file__, *sys.argv[1:]]
        workers.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    said = [worker.communicate() for worker in workers]
    for worker, (_, error) in zip(workers, said):
        if worker.returncode:
            raise SystemExit(f"a worker ended with code {worker.returncode}:\n{error[-2000:]}")
    return json.loads(said[0][0].splitlines()[-1])


def addresses(count):
    """Free addresses of this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{made.getsockname()[1]}" for made in sockets]
    for made in sockets:
        made.close()
    return found


def work(flags):
    """Trains as one worker.

    Returns:
        {"seconds": of each measured step, "bytes": sent per step over the loopback device by all
        workers together, "parameters": number of weights}
    """
    import numpy as np
    import tensorflow as tf

    from kdet.config import Optimizer, Schedule
    from kdet.train.distribution import make_strategy
    from kdet.train.trainer import Trainer

    strategy = make_strategy()
    images = IMAGES * strategy.num_replicas_in_sync
    with strategy.scope():
        network = stand_in(int(flags.parameters), flags.compute)
    schedule = Schedule(10**9, (), 1e-6, batch=images, base_batch=images)
    trainer = Trainer(network, targets, losses, schedule, Optimizer(), strategy, jit="off")
    batch = {"image": tf.zeros((IMAGES, 1)), "image_id": tf.range(IMAGES)}
    steps = flags.warmup + flags.runs
    seconds, before = [], None
    for found in trainer.train(iter(lambda: batch, None), steps):
        if trainer.step == flags.warmup:
            before = sent()
        seconds.append(found.seconds)
    total = (sent() - before) / flags.runs if before is not None else float("nan")
    parameters = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    return {"seconds": seconds[flags.warmup :], "bytes": total, "parameters": parameters}


def stand_in(parameters, compute):
    """A network of `TENSORS` weights that waits for `compute` seconds."""
    import keras
    import tensorflow as tf

    def wait(x):
        time.sleep(compute)
        return x

    class Weights(keras.layers.Layer):
        def build(self, shape):
            size = (max(parameters // TENSORS, 1),)
            for number in range(TENSORS):
                self.add_weight(shape=size, name=f"weight{number}")

        def call(self, x):
            waited = tf.ensure_shape(tf.numpy_function(wait, [x], tf.float32), x.shape)
            return waited + sum(tf.reduce_mean(w) for w in self.trainable_variables)

    image = keras.Input((1,), name="image")
    return keras.Model(image, Weights(name="stand_in")(image))


def targets(batch):
    """No targets. The normalizer is the number of images, as in the real families."""
    import tensorflow as tf

    return {}, {"images": tf.cast(tf.shape(batch["image"])[0], tf.float32)}


def losses(outputs, _, normalizers):
    """A loss in which every weight has a part."""
    import tensorflow as tf

    return {"all": tf.reduce_sum(tf.square(outputs)) / normalizers["images"]}


def sent():
    """Bytes that this machine has sent to itself, or NaN on other systems than Linux."""
    try:
        counters = Path("/proc/net/dev").read_text()
    except OSError:
        return float("nan")
    return int(re.search(r"^\s*lo:((?:\s+\d+)+)", counters, re.MULTILINE)[1].split()[8])


if __name__ == "__main__":
    main()
