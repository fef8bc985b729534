"""YOLOv3 DarkNet-53 against the original system's numbers at every joint."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import Golden

from kdet.config import YOLOv3
from kdet.models.detector import build
from kdet.models.families import family_of
from kdet.models.yolov3 import grid
from kdet.models.yolov3.losses import assign, level_losses

STAGES = tuple(f"stage.{n}.{count - 1}.sum" for n, count in enumerate((1, 2, 8, 8, 4)))
LEVELS = ("P5", "P4", "P3")


@pytest.fixture(scope="module")
def row():
    return Golden("yolov3_darknet")


@pytest.fixture(scope="module")
def detector(row):
    made = build(YOLOv3())
    row.load_weights(made.network, made.config)
    return made


def channels_first(tensor):
    return np.transpose(tensor, (0, 3, 1, 2))


def test_stages_and_outputs(row, detector):
    stages = [detector.network.get_layer(name).output for name in STAGES]
    found, raw = keras.Model(detector.network.input, [stages, detector.network.output])(row.image)
    for number, tensor in enumerate(found):
        assert row.error(f"test/backbone/{number}", channels_first(tensor)) < 1e-5
    for number, level in enumerate(LEVELS):
        assert row.error(f"test/yolo/out{number}", channels_first(raw[level])) < 1e-5
    check_boxes(row, detector.config, raw)


def check_boxes(row, config, raw):
    """Decoded boxes; the original lists them anchor first and clips them."""
    height, width = row.numbers["test/feed/im_size"][0]
    for number, level in enumerate(LEVELS):
        boxes = grid.decode_boxes(
            raw[level], grid.level_anchors(config.anchors, level), grid.STRIDES[level]
        )
        boxes = np.array(boxes).reshape(-1, 3, 4).transpose(1, 0, 2).reshape(1, -1, 4)
        boxes = boxes * [width, height, width, height]
        boxes[..., :2] = np.maximum(boxes[..., :2], 0)
        boxes[..., 2:] = np.minimum(boxes[..., 2:], [width - 1, height - 1])
        scores = 1 / (
            1 + np.exp(-np.array(grid.split_predictions(raw[level], 3), "float64")[..., 4])
        )
        scores = scores.reshape(-1, 3).T.ravel()
        boxes[0, scores < config.score_threshold] = 0
        assert row.error(f"test/op/yolo_box.{number}/Boxes", boxes) < 1e-5


@pytest.mark.parametrize("jit", [False, True])
def test_detections(row, detector, jit):
    size = tf.constant(row.numbers["test/feed/im_size"], tf.float32)
    side = tf.constant([[320.0, 320.0]])
    call = tf.function(lambda batch: detector.model(batch, training=False), jit_compile=jit)
    found = call({"image": row.image, "original_size": size, "resized_size": side})
    found = {name: value.numpy() for name, value in found.items()}
    rows = row.numbers["test/out/bbox"] + np.array([0, 0, 0, 0, 1, 1], "float32")
    assert row.matched(found, rows=rows) == 1
    assert (np.diff(found["scores"][0]) <= 0).all()


def test_losses_gradients_and_running_statistics(row, detector):
    numbers, manifest, config = row.numbers, row.manifest, detector.config
    network = keras.models.clone_model(detector.network)
    row.load_weights(network, detector.config)
    boxes, labels, scores = (
        tf.constant(numbers[f"train/feed/gt_{key}"]) for key in ("box", "label", "score")
    )

    @tf.function
    def step(image):
        truth = assign(config, (320, 320), boxes, labels, scores >= 0, scores)
        with tf.GradientTape() as tape:
            raw = network(image, training=True)
            terms = family_of(config).losses(config, raw, truth, {"images": 1.0})
            total = sum(terms.values())
        levels = [level_losses(config, raw[level], truth, level) for level in LEVELS]
        levels = [sum(terms.values())[0] for terms in levels]
        return truth, total, levels, tape.gradient(total, network.trainable_variables)

    truth, total, levels, gradients = step(tf.constant(row.image))
    assert float(total) == pytest.approx(manifest["train"]["losses"]["loss"], rel=1e-5)
    for number, (level, value) in enumerate(zip(LEVELS, levels)):
        assert float(value) == pytest.approx(
            float(numbers[f"train/op/yolov3_loss.{number}/Loss"][0]), rel=1e-5
        )
        matched = numbers[f"train/op/yolov3_loss.{number}/GTMatchMask"] >= 0
        np.testing.assert_array_equal(truth[level]["owner"], matched)
    norms = dict(zip(manifest["grad"]["parameters_with_gradient"], numbers["grad/l2norm"]))
    found = {
        family_of(config).reference_name(v.path): np.linalg.norm(np.array(g, "float64"))
        for v, g in zip(network.trainable_variables, gradients)
    }
    assert set(found) == set(norms)
    # the original's two versions differ by up to 0.13%
    errors = [abs(found[name] - norms[name]) / norms[name] for name in norms]
    assert max(errors) < 6e-3 and np.median(errors) < 1e-3
    keys = {
        f"train/bn_after/{family_of(config).reference_name(v.path)}": v
        for v in network.non_trainable_variables
    }
    stored = [key for key in keys if key in numbers]
    assert stored
    for key in stored:
        np.testing.assert_allclose(keys[key], numbers[key], rtol=1e-5, atol=1e-6, err_msg=key)
