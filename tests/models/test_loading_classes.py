"""Loading with other classes: the layers that depend on them stay fresh, and no other."""

import keras
import numpy as np
import published
import pytest

from kdet import models
from kdet.config.text import to_dict
from kdet.errors import CheckpointError, ConfigError
from kdet.weights.assign import LoadReport
from kdet.weights.assign import initialized_layers as layers_of
from kdet.weights.npz import write_npz


@pytest.fixture(scope="module")
def ssd(tmp_path_factory):
    keras.utils.clear_session(free_memory=True)
    return published.write(tmp_path_factory.mktemp("ssd") / "w", "ssd_mobilenet_v1_voc")


def test_other_classes_leave_exactly_the_class_layers(ssd, capsys):
    fresh = models.load("ssd_mobilenet_v1_voc", weights=ssd, num_classes=3)
    said = capsys.readouterr().err
    assert "187 variables loaded; 12 newly initialised: ssd_class_0, ssd_class_1" in said
    assert "ssd_box" not in said and len(fresh.labels) == 3
    layer = fresh.network.get_layer("ssd_box_0")
    np.testing.assert_array_equal(layer.bias, published.values("conv2d_22.b_0", (12,)))
    assert not fresh.network.get_layer("ssd_class_0").bias.numpy().any()
    models.load("ssd_mobilenet_v1_voc", weights=ssd, num_classes=20)
    assert not capsys.readouterr().err
    with pytest.raises(CheckpointError, match=r"wrong shape: conv2d_23.w_0 \(63, 512, 1, 1\)"):
        models.load("ssd_mobilenet_v1_voc", weights=ssd, overrides=["model.num_classes=3"])


@pytest.mark.parametrize(
    ("row", "layers"),
    [
        ("mask_rcnn_r50_fpn_1x", "box_head_1/class_output box_head_1/box_output mask_head/output"),
        ("cascade_rcnn_r50_fpn_1x", "box_head_1/class_output box_head_2/ box_head_3/"),
        ("retinanet_r50_fpn_1x", "retina_head/class_output"),
        ("yolov3_mobilenet_v1", "yolo_output.0 yolo_output.1 yolo_output.2"),
    ],
)
def test_other_classes_of_every_family(row, layers, tmp_path, capsys):
    """From Paddle's form and from kdet's own, the same layers stay fresh; all others are loaded."""
    folder = published.write(tmp_path / "w", row)
    models.load(row, weights=folder, num_classes=3)
    said = capsys.readouterr().err.partition("newly initialised: ")[2]
    for layer in layers.split():
        assert layer in said
    recipe = models.recipe(row)
    whole = models.load(row, weights=folder)
    arrays = {f"weights/{v.path}": v for v in whole.network.variables}
    about = {"recipe": to_dict(recipe), "labels": to_dict(whole.labels)}
    write_npz(tmp_path / "best.npz", arrays, about)
    fresh = models.load(row, weights=tmp_path, num_classes=3)
    assert capsys.readouterr().err.partition("newly initialised: ")[2] == said
    loaded = {v.path: v for v in whole.network.variables}
    changed = [v for v in fresh.network.variables if v.shape != loaded[v.path].shape]
    same = [v for v in fresh.network.variables if v.shape == loaded[v.path].shape]
    assert all(np.array_equal(v, loaded[v.path]) for v in same)
    paths = (tuple(v.path for v in some) for some in (same, changed))
    assert said == ", ".join(layers_of(LoadReport(*paths, ()))) + "\n"
    assert len(fresh.labels) == 3 and len(models.load(tmp_path, num_classes=3).labels) == 3
    with pytest.raises(ConfigError, match=f"holds '{row}', not 'yolov3_r34'"):
        models.load("yolov3_r34", weights=tmp_path)


def test_what_is_asked_for_must_make_sense(ssd):
    for count in (0, -1, "3", 2.0, True):
        with pytest.raises(ConfigError, match="num_classes must be a whole number above 0"):
            models.load("ssd_mobilenet_v1_voc", weights=ssd, num_classes=count)
    with pytest.raises(ConfigError, match="not a checkpoint of kdet"):
        models.load(ssd / "conv1_weights")
    with pytest.raises(ConfigError, match="is a checkpoint"):
        models.load(ssd, weights=None)
    said = "model.score_threshold=0.25"
    assert models.load("ssd_mobilenet_v1_voc", ssd, overrides=said).config.score_threshold == 0.25
