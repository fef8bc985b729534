import numpy as np
import pytest

from kdet.models import rcnn, ssd, yolov3
from kdet.weights.paddle.names import from_reference, reference_name, to_reference


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("ssd_box_0/kernel", "conv2d_22.w_0"),
        ("ssd_class_0/bias", "conv2d_23.b_0"),
        ("ssd_class_5/kernel", "conv2d_33.w_0"),
        ("conv1/kernel", "conv1_weights"),
        ("conv1_bn/gamma", "conv1_bn_scale"),
        ("conv5_6_dw/kernel", "conv5_6_dw_weights"),
        ("conv7_4_extra2_bn/moving_variance", "conv7_4_extra2_bn_variance"),
        ("stage.4.3.1.conv/kernel", "stage.4.3.1.conv.weights"),
        ("stage.4.3.1.bn/moving_variance", "stage.4.3.1.bn.var"),
        ("yolo_input.downsample.bn/beta", "yolo_input.downsample.bn.offset"),
        ("yolo_output.2.conv/bias", "yolo_output.2.conv.bias"),
        ("res2a_branch1/kernel", "res2a_branch1_weights"),
        ("bn2a_branch1/moving_mean", "bn2a_branch1_mean"),
        ("bn_conv1/beta", "bn_conv1_offset"),
    ],
)
def test_names_of_the_single_stage_rows(path, name):
    rules = {"ssd": ssd.FAMILY, "yol": yolov3.FAMILY}.get(path[:3], rcnn.FAMILY)
    assert rules.reference_name(path) == name


def test_an_unknown_path_is_refused():
    with pytest.raises(KeyError, match="no reference name is known for the variable 'odd/kernel'"):
        reference_name("odd/kernel")


@pytest.mark.parametrize(
    ("name", "shape", "stored"),
    [
        ("conv1_weights", (3, 5, 2, 7), (7, 2, 3, 5)),
        ("conv2_1_dw_weights", (3, 5, 8, 1), (8, 1, 3, 5)),
        ("conv1_bn_scale", (4,), (4,)),
    ],
)
def test_layouts_and_back(name, shape, stored):
    array = np.arange(np.prod(shape)).reshape(shape)
    found = to_reference(array, name)
    assert found.shape == stored
    np.testing.assert_array_equal(from_reference(found, name), array)
