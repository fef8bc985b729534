"""The account of a step names every operation once, and adds up to the step."""

import pytest
from account import KINDS, REST, account

TIMES = {
    "rpn_head_1/conv_1/Relu:_MklNativeFusedConv2D": 8.0,
    "gradient_tape/a/Conv2DBackpropInput:_MklNativeConv2DBackpropInput": 5.0,
    "gradient_tape/a/Conv2DBackpropFilter:_MklNativeConv2DBackpropFilter": 6.0,
    "gradient_tape/b/x:_MklNativeDepthwiseConv2dNativeBackpropInput": 1.0,
    "roi_align_1/MirrorPad:MirrorPad": 2.0,
    "roi_align_1/concat:ConcatV2": 2.5,
    "matching/argmax:ArgMax": 0.5,
    "FusedBatchNormGradV3_32:_MklNativeFusedBatchNormGradV3": 3.0,
    "conv1_relu/Relu:_MklRelu": 0.25,
    "conv2_1_dw_1/EuclideanNorm:EuclideanNorm": 0.125,
}


def test_an_account_adds_up_to_the_step():
    found = account(TIMES, 30.0)
    assert sum(found.values()) == pytest.approx(30.0)
    assert found == {
        "convolutions": 8.0,
        "convolutions, gradient of the kernel": 6.0,
        "convolutions, gradient of the input": 5.0,
        "RoIAlign": 4.5,
        "batch norms, gradient": 3.0,
        "depthwise convolutions, gradient of the input": 1.0,
        REST[0]: 0.5,
        "ReLU": 0.25,
        "batch norms": 0.125,
        REST[1]: 1.625,
    }
    assert list(found)[0] == "convolutions" and set(found) <= {*KINDS, *REST}
