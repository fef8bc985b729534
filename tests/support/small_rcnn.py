"""Two-stage networks small enough to train in seconds, and batches for them.

As a script: `small_rcnn.py OUT` trains one on one replica and on two in a process of its own, and
stores every weight.
"""

import sys
from dataclasses import replace
from unittest import mock

import numpy as np

from kdet import models
from kdet.backbones import resnet
from kdet.config import RCNN, Data, Optimizer, ResNet
from kdet.models.families import family_of

BLOCKS = dict.fromkeys(resnet.BLOCKS, (1, 2, 1, 1))
DATA = Data(short_side=64, long_side=64, pad_to=64, max_boxes=5, max_edges=48)
SIZES = {
    "num_classes": 4,
    "width": 16,
    "head_width": 16,
    "anchor_scale": 0.125,
    "rpn_batch_size": 2048,
    "roi_batch_size": 16,
    "max_detections": 10,
}


def shrink(model):
    """The same switches with few channels, regions and anchors; depth 50 stands for all.

    R50, R101 and SENet differ from each other in the number of blocks and in the kind of block; of
    these the kind stays.
    """
    facts = {
        "rpn_pre_nms_top_n_train": 100,
        "rpn_post_nms_top_n_train": 40,
        "rpn_pre_nms_top_n_test": 100,
        "rpn_post_nms_top_n_test": 20,
        **SIZES,
    }
    if model.neck == "c4":
        facts["anchor_scale"] = 0.5
    return replace(model, backbone=replace(model.backbone, depth=50), **facts)


def build(model, data=DATA):
    """A detector with five blocks in its backbone."""
    with mock.patch.dict(resnet.BLOCKS, BLOCKS):
        return models.build(model, data)


def train_step(detector, optimizer, strategy=None, jit=False, clip_norm=0.0):
    """The `TrainStep` of a detector."""
    import tensorflow as tf

    from kdet.train.optimizer import make_optimizer
    from kdet.train.step import TrainStep

    strategy, config = strategy or tf.distribute.get_strategy(), detector.config
    with strategy.scope():
        network = detector.training_model()
        made = make_optimizer(network.trainable_variables, optimizer)
    return TrainStep(
        network,
        lambda batch: family_of(config).targets(config, batch),
        lambda raw, truth, counts: family_of(config).losses(config, raw, truth, counts),
        made,
        strategy,
        jit=jit,
        clip_norm=clip_norm,
    )


def polygon_batch(count, seed=0, objects=3):
    """A training batch of `count` images of noise with a triangle in every box."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 30, (count, objects, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 30, (count, objects, 2))], -1)
    size = np.tile(np.float32([[64, 64]]), (count, 1))
    x1, y1, x2, y2 = boxes.transpose(2, 0, 1)
    points = np.stack([[x1, y2], [x2, y2], [x2, y1]]).transpose(2, 3, 0, 1)
    return {
        "image": rng.normal(size=(count, 64, 64, 3)).astype("float32"),
        "resized_size": size,
        "original_size": size,
        "image_id": np.arange(count),
        "boxes": boxes.astype("float32"),
        "labels": rng.integers(0, 4, (count, objects), dtype="int32"),
        "valid": np.arange(objects)[None] < rng.integers(0, objects + 1, (count, 1)),
        "sample_seed": np.arange(count, dtype="int32") + seed,
        "mask_edges": np.concatenate([points, np.roll(points, -1, 2)], -1).astype("float32"),
        "mask_parts": np.zeros((count, objects, 3), "int32"),
    }


def train(strategy, steps):
    """Trains Mask R-CNN on four images a step; returns losses and all replicas' weights by name."""
    import keras
    import tensorflow as tf

    from kdet.train.distribution import split

    keras.utils.set_random_seed(0)
    with strategy.scope():
        detector = build(shrink(RCNN(ResNet(50), mask=True, sampling="first")))
    step, stored = train_step(detector, Optimizer(), strategy, clip_norm=1.0), {}
    for number in range(steps):
        batch = {k: tf.constant(v) for k, v in polygon_batch(4, number % 2).items()}
        outcome = step(split(strategy, batch), 0.01)
        stored |= {f"loss/{number}/{k}": np.array(v) for k, v in outcome.losses.items()}
    for variable in detector.network.variables:
        values = strategy.experimental_local_results(variable.value)
        stored |= {f"{variable.path}:{i}": v.numpy() for i, v in enumerate(values)}
    return stored


def main(out):
    import tensorflow as tf

    from kdet.train.distribution import make_strategy

    both, stored = make_strategy(2), {}
    for name, strategy in (("one", tf.distribute.get_strategy()), ("two", both)):
        stored |= {f"{name}/{k}": v for k, v in train(strategy, 5).items()}
    np.savez(out, **stored)


if __name__ == "__main__":
    main(sys.argv[1])
