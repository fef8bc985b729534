"""Two-stage training steps: hard images, compiled and not; one replica and two."""

import subprocess
import sys

import numpy as np
import pytest
import small_rcnn
import tensorflow as tf

from kdet.config import R50, RCNN, Optimizer, c4_rcnn
from kdet.data import transforms
from kdet.data.convert.example_proto import Object, Record, serialize_example
from kdet.data.decode import decode
from kdet.masks.rle import runs_from_mask

MANY = 300
CONFIGS = {
    "mask": RCNN(R50, mask=True),
    "cascade": RCNN(R50, cascade=True),
    "mask c4": c4_rcnn(R50, mask=True),
}


def square(number, x, y, side, crowd=0):
    points = (x, y, x + side, y, x + side, y + side, x, y + side)
    facts = {"polygons": (points,)}
    if crowd:
        mask = np.zeros((64, 64), bool)
        mask[int(y) : int(y + side), int(x) : int(x + side)] = True
        facts = {"runs": tuple(runs_from_mask(mask))}
    return Object(number, number % 4, (x, y, side, side), side * side, crowd, **facts)


@pytest.fixture(scope="module")
def hard():
    """name -> batch of one image: nothing in it, only crowds, one-pixel boxes, 300 objects."""
    places = np.random.default_rng(0).integers(0, 44, (MANY, 2)).astype(float)
    cases = {
        "nothing": (),
        "only crowds": (square(1, 5, 9, 20, 1), square(2, 30, 30, 30, 1)),
        "one pixel": tuple(square(k, 7.0 * k, 6.0 * k, 1.0) for k in range(9)),
        "many": tuple(square(k, x, y, 4.0 + k % 16) for k, (x, y) in enumerate(places)),
    }
    return {name: batch_of(objects) for name, objects in cases.items()}


def batch_of(objects):
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    record = Record(tf.io.encode_png(pixels).numpy(), 1, "x.png", 64, 64, tuple(objects))
    example = transforms.pad_truth(MANY)(decode(serialize_example(record), 8))
    size = tf.constant([64.0, 64.0])
    names = ("boxes", "labels", "valid", "mask_edges", "mask_parts")
    batch = {
        "image": tf.cast(example["image"], tf.float32) / 127.5 - 1,
        "resized_size": size,
        "original_size": size,
        "sample_seed": tf.constant(3),
        **{name: example[name] for name in names},
    }
    return {name: value[None] for name, value in batch.items()}


@pytest.mark.parametrize(
    "name, jit", [("mask", False), ("mask", True), ("cascade", True), ("mask c4", True)]
)
def test_hard_images_give_finite_losses_and_gradients(hard, name, jit):
    detector = small_rcnn.build(small_rcnn.shrink(CONFIGS[name]))
    step = small_rcnn.train_step(detector, Optimizer(), jit=jit)
    losses = {case: step(batch, 0.001) for case, batch in hard.items()}
    assert step.compilations == 1
    for case, outcome in losses.items():
        assert outcome.finite and np.isfinite(outcome.norm), case
        assert all(np.isfinite(v) for v in outcome.losses.values()), case
        learnt = case in ("one pixel", "many")
        boxes = [v for k, v in outcome.losses.items() if k.startswith(("box", "rpn_box", "mask"))]
        assert any(boxes) == learnt, (case, outcome.losses)


def test_two_replicas_equal_one(tmp_path):
    """Five steps with deterministic sampling, in a process of its own with two logical CPUs."""
    program = [sys.executable, small_rcnn.__file__, str(tmp_path / "out.npz")]
    subprocess.run(program, check=True, timeout=300)
    with np.load(tmp_path / "out.npz") as stored:
        runs = {name: stored[name] for name in stored.files}
    one = {k[4:]: v for k, v in runs.items() if k.startswith("one/")}
    two = {k[4:]: v for k, v in runs.items() if k.startswith("two/")}
    assert len(one) > 100
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
        if name.endswith(":0"):
            other = two[name.replace(":0", ":1")]
            np.testing.assert_array_equal(other, two[name], err_msg=name)
    losses = [sum(v for k, v in one.items() if k.startswith(f"loss/{n}/")) for n in range(5)]
    assert losses[4] < losses[0]  # of the same batch
