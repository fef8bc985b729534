"""A family small enough to train in milliseconds, with the contracts of the real ones.

As a script: `fake_family.py JSON` runs the jobs described by JSON (see `jobs`) in a process of its
own, because replicas and workers must be set up before TensorFlow touches a device.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from kdet.config import Optimizer, Schedule
from kdet.errors import ConfigError
from kdet.layers.conv_norm import BatchNorm
from kdet.train import checkpoint, distribution
from kdet.train.trainer import Trainer

CANVASES = ((16, 24), (24, 16))
OPTIMIZER = Optimizer(weight_decay=1e-3)


def schedule(batch=4):
    return Schedule(
        images=400,
        milestones=(24,),
        base_lr=0.05,
        batch=batch,
        base_batch=batch,
        warmup_images=8,
        gamma=0.5,
    )


def network(norm="none", seed=0):
    """norm: none | frozen (an inference-mode norm, its kernel frozen as well) | batch."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(6, 3, 2, "same", use_bias=norm == "none", name="stem")(image)
    if norm != "none":
        x = BatchNorm(name="norm", momentum=0.8)(x)
    x = layers.Conv2D(8, 3, 2, "same", activation="relu", name="body")(x)
    raw = {
        "class": layers.Conv2D(2, 1, name="class")(x),
        "box": layers.Conv2D(4, 1, name="box")(x),
    }
    model = keras.Model(image, raw)
    if norm == "frozen":
        model.get_layer("stem").trainable = model.get_layer("norm").trainable = False
    return model


def targets(batch):
    """Mean box per image; the count is the number of boxes plus one per image."""
    ops = keras.ops
    valid = ops.cast(batch["valid"], "float32")
    box = ops.sum(batch["boxes"] * valid[..., None], axis=1) / (
        1 + ops.sum(valid, axis=1, keepdims=True)
    )
    return {"box": box[:, None, None] / 24}, {"positives": ops.sum(valid + 0.2)}


def losses(raw, targets, counts):
    ops = keras.ops
    count = counts["positives"]
    return {
        "class": ops.sum(ops.softplus(raw["class"])) / count,
        "box": ops.sum((raw["box"] - targets["box"]) ** 2) / count,
    }


def batch(step, size=4, seed=0, poison=None):
    """The global batch of a step, NumPy; `poison` is (step, image, key) of a NaN."""
    rng = np.random.default_rng((seed, step))
    h, w = CANVASES[step % 2]
    made = {
        "image": rng.normal(size=(size, h, w, 3)).astype("float32"),
        "boxes": rng.uniform(0, 16, size=(size, 5, 4)).astype("float32"),
        "labels": np.zeros((size, 5), "int32"),
        "valid": rng.uniform(size=(size, 5)) < np.arange(1, size + 1)[:, None] / size,
        "image_id": np.arange(size, dtype="int64") + 100 * step,
        "resized_size": np.tile(np.float32([h, w]), (size, 1)),
    }
    if poison and poison[0] == step:
        made[poison[2]][poison[1], 0, 0] = np.nan
    return made


def batches(start=0, shard=(0, 1), **kind):
    """Endless tensors of this worker's slices, from step `start` on."""
    import tensorflow as tf

    step = start
    while True:
        made = batch(step, **kind)
        share = len(made["image"]) // shard[1]
        part = slice(shard[0] * share, (shard[0] + 1) * share)
        yield {name: tf.constant(value[part]) for name, value in made.items()}
        step += 1


def trainer(
    strategy,
    norm="none",
    clip=0.0,
    jit="off",
    precision="fp32",
    size=4,
    accumulate=1,
    ema=0.0,
    **parts,
):
    with strategy.scope():
        net = network(norm)
    return Trainer(
        net,
        parts.get("targets", targets),
        parts.get("losses", losses),
        replace(schedule(size), accumulate=accumulate),
        replace(OPTIMIZER, clip_norm=clip, ema_decay=ema),
        strategy,
        jit=jit,
        precision=precision,
    )


def snapshot(made, strategy):
    """Every value on every local replica: "path:replica" -> array."""
    variables = {v.path: v.value for v in made.network.variables}
    variables |= {f"slot {k}": v.value for k, v in made.slots.items()}
    return {
        f"{name}:{i}": value.numpy()
        for name, v in variables.items()
        for i, value in enumerate(strategy.experimental_local_results(v))
    }


ABOUT = {"seed": 0}


def job(strategy, steps=10, poison=None, shard=(0, 1), file=None, **kind):
    """Trains and returns (arrays, report): JSON-ready losses, norms and the error if any.

    With `file`, goes on from that checkpoint where it exists and rewrites it after every step.
    """
    made = trainer(strategy, **kind)
    if file and Path(file).exists():
        checkpoint.restore(file, made, ABOUT)
    first, seen, error = made.step, [], None
    before = snapshot(made, strategy)
    try:
        for report in made.train(batches(first, shard=shard, poison=poison), steps):
            seen.append({**report.losses, "norm": report.norm, "rate": report.rate})
            before = snapshot(made, strategy)
            if file and shard[0] == 0:
                checkpoint.save(file, made, ABOUT)
    except Exception as stopped:  # the tests look at its type and text
        lost = distribution.lost_peer(stopped, strategy)
        error = f"lost: {lost}" if lost else f"{type(stopped).__name__}: {stopped}"
    after = snapshot(made, strategy)
    untouched = all(np.array_equal(before[k], after[k], equal_nan=True) for k in after)
    report = {"first": first, "seen": seen, "error": error, "untouched": untouched}
    if shard[1] > 1 and not error:
        report["agreement"] = [disagreement(strategy, n) for n in (2**40, 2**40 + shard[0])]
    return after, {**report, "compilations": made.train_step.compilations}


def disagreement(strategy, number):
    try:
        distribution.check_agreement(strategy, number, "the weights")
    except ConfigError as error:
        return str(error)
    return None


def main(text):
    """`{"out": file, "replicas": N, "jobs": {name: {...}}}`; a job's "on" is one or all."""
    import tensorflow as tf

    asked = json.loads(text)
    strategy = distribution.make_strategy(asked.get("replicas", 0))
    shard = distribution.worker(strategy)
    arrays, reports = {}, {}
    for name, kind in asked["jobs"].items():
        alone = kind.pop("on", "all") == "one"
        values, reports[name] = job(
            tf.distribute.get_strategy() if alone else strategy, shard=shard, **kind
        )
        arrays |= {f"{name}/{k}": v for k, v in values.items()}
    np.savez(asked["out"], report=np.array(json.dumps(reports)), **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
