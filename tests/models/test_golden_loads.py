"""The golden rows through the door that users take: a folder, a name, a picture's boxes."""

import keras
import numpy as np
import pytest
from golden import Golden

from kdet import models
from kdet.weights import paddle

# row: (settings in which its numbers were made, least share of detections, tolerance of boxes)
ROWS = {
    "retinanet_r50_fpn_1x": ((), 0.98, 0.1),
    "ssd_mobilenet_v1_voc": ((), 1, 0.05),
    "yolov3_darknet": ((), 1, 0.1),
    "faster_rcnn_r50_fpn_1x": ((), 1, 0.01),
    "mask_rcnn_r50_1x": (("model.rpn_post_nms_top_n_test=100",), 1, 0.01),
    "cascade_rcnn_r50_fpn_1x": ((), 1, 0.01),
    "faster_rcnn_se154_vd_fpn_s1x": ((), 1, 0.01),
}


@pytest.mark.parametrize("row", ROWS)
def test_detections(row, tmp_path):
    overrides, share, near = ROWS[row]
    keras.utils.clear_session(free_memory=True)
    golden = Golden(row)
    facts = ((p["name"], tuple(p["shape"])) for p in golden.manifest["parameters"])
    paddle.write(tmp_path / "w", ((name, golden.rule.weight(name, shape)) for name, shape in facts))
    detector = models.load(row, weights=tmp_path / "w", overrides=overrides)
    inputs, rows = meant(golden)
    found = {k: np.array(v) for k, v in detector(inputs).items()}
    assert golden.matched(found, box=near, rows=rows) >= share


def meant(golden):
    """(what goes in, rows of label, score and half-open box in pixels), whatever the family."""
    numbers, rows = golden.numbers, golden.numbers["test/out/bbox"].copy()
    if "test/feed/im_info" in numbers:  # two-stage and RetinaNet
        return golden.inputs(), rows + np.float32([-1, 0, 0, 0, 1, 1])
    side = np.float32([golden.image.shape[1:3]])
    if "test/feed/im_size" in numbers:  # YOLO has no background
        size = numbers["test/feed/im_size"]
        rows += np.float32([0, 0, 0, 0, 1, 1])
    else:  # SSD's boxes are fractions
        size = numbers["test/feed/im_shape"][:, :2]
        rows[:, 0] -= 1
        rows[:, 2:] *= np.tile(size[:, ::-1], 2)
    return {"image": golden.image, "original_size": np.float32(size), "resized_size": side}, rows
