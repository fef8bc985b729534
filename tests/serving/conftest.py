"""Small detectors of every family, whose scores differ clearly."""

from unittest import mock

import keras
import numpy as np
import pytest
import small_rcnn

from kdet import models
from kdet.backbones import resnet
from kdet.config import R50, RCNN, SSD, Data, MobileNet, RetinaNet, YOLOv3, stretched_data
from kdet.data.convert.synthetic import make_synthetic
from kdet.serving.check import sample_image

CLASSES = 3
RCNN_SIZES = {**small_rcnn.SIZES, "num_classes": CLASSES, "max_detections": 8}
RCNN_SIZES |= {"rpn_pre_nms_top_n_test": 60, "rpn_post_nms_top_n_test": 30}
SMALL = Data(short_side=64, long_side=96, pad_to=32)
CONFIGS = {
    "ssd": (SSD(MobileNet(width=0.25), num_classes=CLASSES), stretched_data(300)),
    "yolov3": (YOLOv3(MobileNet(width=0.25), num_classes=CLASSES), stretched_data(96)),
    "retinanet": (
        RetinaNet(R50, num_classes=CLASSES, width=32),
        Data(short_side=96, long_side=128, pad_to=32),
    ),
    "mask_rcnn": (RCNN(R50, mask=True, **RCNN_SIZES), SMALL),
    "cascade_rcnn": (RCNN(R50, cascade=True, **RCNN_SIZES), SMALL),
    "faster_rcnn_c4": (RCNN(R50, neck="c4", **RCNN_SIZES | {"anchor_scale": 0.5}), SMALL),
}
SIZES = {"ssd": 300, "yolov3": 96, "retinanet": 128}  # of the exports; 96 for the others


def make(family):
    """A detector whose heads have large weights, so that few scores are nearly equal."""
    config, data = CONFIGS[family]
    keras.utils.set_random_seed(1)
    with mock.patch.dict(resnet.BLOCKS, small_rcnn.BLOCKS):
        detector = models.build(config, data)
    numbers = np.random.default_rng(0)
    for variable in detector.network.variables:
        if variable.path.endswith("kernel") and "class" in variable.path:
            spread = np.prod(variable.shape[:-1]) ** -0.5
            variable.assign(numbers.normal(0, spread, variable.shape))
        if variable.path == "retina_head/class_output/bias":  # it starts at scores of 0.01
            variable.assign(np.full(variable.shape, -1.0))
    return detector


@pytest.fixture(scope="session")
def detectors():
    """{family: detector}, made when they are asked for."""

    class Made(dict):
        def __missing__(self, family):
            self[family] = make(family)
            return self[family]

    return Made()


@pytest.fixture(scope="session")
def exports(detectors, tmp_path_factory):
    """A function (family, name of a file) -> its path; each file is made once."""
    folder = tmp_path_factory.mktemp("exports")

    def path_of(family, name):
        path = folder / f"{family}_{name}"
        if not path.exists():
            detectors[family].export(path, size=(SIZES.get(family, 96),) * 2)
        return path

    return path_of


@pytest.fixture(scope="session")
def photos():
    """Two images of different sizes, (H, W, 3) uint8."""
    return [sample_image((90, 120)), sample_image((70, 64))[:, ::-1].copy()]


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """A data set of twelve images."""
    folder = tmp_path_factory.mktemp("records")
    make_synthetic(folder, 12, 0, (96, 128))
    return folder
