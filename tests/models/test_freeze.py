"""Stages of backbones that are not trained."""

import pytest

from kdet.config import SSD, DarkNet, MobileNet, ResNet, YOLOv3
from kdet.models import ssd, yolov3

# the stages of strides 2, 4, 8, 16 and 32
STAGES = {
    MobileNet: (
        ("conv1", "conv2_1"),
        ("conv2_2", "conv3_1"),
        ("conv3_2", "conv4_1"),
        ("conv4_2", *(f"conv5_{k}" for k in range(1, 6))),
        ("conv5_6", "conv6"),
    ),
    DarkNet: (
        ("yolo_input", "stage.0."),
        ("stage.0.downsample", "stage.1."),
        ("stage.1.downsample", "stage.2."),
        ("stage.2.downsample", "stage.3."),
        ("stage.3.downsample", "stage.4."),
    ),
}


def trained_stages(network, stages):
    """For every stage, {True}, {False} or both: whether its layers train. Norms count."""
    found = [set() for _ in stages]
    for layer in network.layers:
        if not layer.weights:
            continue
        # the longest prefix, because "stage.0." is the beginning of "stage.0.downsample"
        fits = [(len(p), k) for k, names in enumerate(stages) for p in names if _has(layer.name, p)]
        if fits:
            found[max(fits)[1]].add(bool(layer.trainable_weights))
    return found


def _has(name, prefix):
    rest = name[len(prefix) :]
    return name.startswith(prefix) and (prefix.endswith(".") or rest[:1] in ("", ".", "_"))


@pytest.mark.parametrize("kind", [MobileNet, DarkNet])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_stages_are_frozen_in_order(kind, count):
    network = yolov3.FAMILY.network(YOLOv3(kind(freeze_at=count), num_classes=2))
    assert trained_stages(network, STAGES[kind]) == [{k >= count} for k in range(5)]
    heads = [layer for layer in network.layers if layer.name.startswith("yolo_output")]
    assert heads and all(layer.trainable for layer in heads)


def test_a_whole_backbone_can_be_frozen():
    network = ssd.FAMILY.network(SSD(MobileNet(freeze_at=5), num_classes=2))
    assert trained_stages(network, STAGES[MobileNet]) == [{False}] * 5
    assert all(v.path.startswith(("conv7_", "ssd_")) for v in network.trainable_variables)


def test_a_resnet_counts_its_stages_the_same_way():
    config = YOLOv3(ResNet(34, "d", norm="batch", freeze_at=2), num_classes=2)
    paths = [v.path for v in yolov3.FAMILY.network(config).trainable_variables]
    assert not any(path.startswith(("conv1", "res2")) for path in paths)
    assert any(path.startswith("res3") for path in paths)
