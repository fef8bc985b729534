"""Every row's checkpoint, of the documented names and shapes, loads completely and exactly."""

import filecmp
import math
import pickle
import shutil
from pathlib import Path

import keras
import numpy as np
import published
import pytest

from kdet import models
from kdet.config.labels import COCO_LABELS
from kdet.errors import CheckpointError
from kdet.models.families import family_of
from kdet.weights import paddle
from kdet.weights.paddle.names import from_reference
from kdet.zoo.cards import SIZES

# rows of one architecture differ in their schedules only: one of them is loaded
FIRST = {}
for _name in models.names():
    FIRST.setdefault(models.recipe(_name).model, _name)
# architecture, by its name without schedule: (tensors, scalars, trainable scalars)
TOTALS = {
    "faster_rcnn_r50": (169, 33852960, 33577440),
    "mask_rcnn_r50": (173, 35971185, 35695665),
    "faster_rcnn_r50_vd": (175, 33872192, 33577440),
    "faster_rcnn_r50_fpn": (189, 41757156, 41481636),
    "mask_rcnn_r50_fpn": (201, 44400693, 44125173),
    "cascade_rcnn_r50_fpn": (205, 69407066, 69131546),
    "faster_rcnn_r50_vd_fpn": (195, 41776388, 41481636),
    "mask_rcnn_r50_vd_fpn": (207, 44419925, 44125173),
    "faster_rcnn_r101": (322, 52845088, 52517344),
    "faster_rcnn_r101_fpn": (342, 60749284, 60421540),
    "mask_rcnn_r101_fpn": (354, 63392821, 63065077),
    "faster_rcnn_r101_vd_fpn": (348, 60768516, 60421540),
    "faster_rcnn_x101_vd_64x4d_fpn": (348, 99674628, 99055012),
    "faster_rcnn_se154_vd_fpn": (701, 137937172, 137083172),
    "mask_rcnn_se154_vd_fpn": (713, 140580709, 139726709),
    "retinanet_r50_fpn": (195, 37968692, 37693172),
    "retinanet_r101_fpn": (348, 56960820, 56633076),
    "ssd_mobilenet_v1_voc": (199, 5821433, 5796089),
    "yolov3_darknet": (366, 62001757, 61949149),
    "yolov3_mobilenet_v1": (241, 24609981, 24571197),
    "yolov3_r34": (291, 42343101, 42309053),
}


# one of every kind of head, neck and backbone; see also SSD below
THERE_AND_BACK = (
    "cascade_rcnn_r50_fpn_1x",
    "mask_rcnn_r50_1x",
    "mask_rcnn_se154_vd_fpn_s1x",
    "faster_rcnn_r50_vd_1x",
    "retinanet_r50_fpn_1x",
    "yolov3_darknet",
    "yolov3_r34",
)


def different(one, other):
    """Names of the files that two folders do not share byte for byte."""
    names = {path.name for folder in (one, other) for path in folder.iterdir()}
    for name in sorted(names):
        files = [folder / name for folder in (one, other)]
        if not all(map(Path.is_file, files)) or not filecmp.cmp(*files, shallow=False):
            yield name


def architecture(row):
    return row.rpartition("_")[0] if row.endswith("x") else row


@pytest.mark.parametrize("row", sorted(FIRST.values()))
def test_complete_and_exact(row, tmp_path):
    keras.utils.clear_session(free_memory=True)
    folder = published.write(tmp_path / "w", row)
    detector = models.load(row, weights=folder)
    network = detector.network
    if row in THERE_AND_BACK:
        models.save_paddle(detector, tmp_path / "back")
        assert not list(different(folder, tmp_path / "back"))
        shutil.rmtree(tmp_path / "back")
    shutil.rmtree(folder)  # up to 0.6 GB
    shapes = published.tensors(row)
    counts = len(shapes), sum(math.prod(s) for s in shapes.values())
    learning = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert tuple(SIZES[row][:2]) == counts and (*counts, learning) == TOTALS[architecture(row)]
    assert len(network.variables) == len(shapes)
    reference_name = family_of(models.recipe(row).model).reference_name
    for variable in network.variables:
        name = reference_name(variable.path)
        expected = from_reference(published.values(name, shapes.pop(name)), name)
        assert np.array_equal(variable.numpy(), expected), name
    assert not shapes


def test_every_row_is_covered():
    assert len(models.names()) == 26 and len(FIRST) == 21
    assert {architecture(name) for name in models.names()} == set(TOTALS)
    for name in models.names():
        assert published.tensors(name) == published.tensors(FIRST[models.recipe(name).model])


@pytest.fixture(scope="module")
def ssd(tmp_path_factory):
    keras.utils.clear_session(free_memory=True)
    return published.write(tmp_path_factory.mktemp("ssd") / "w", "ssd_mobilenet_v1_voc")


def test_there_and_back_is_the_same_folder(ssd, tmp_path):
    """Also byte for byte what Paddle writes: see the tests of single tensors."""
    detector = models.load("ssd_mobilenet_v1_voc", weights=ssd)
    models.save_paddle(detector, tmp_path / "back")
    assert not list(different(ssd, tmp_path / "back"))
    with pytest.raises(CheckpointError, match="new or empty folder"):
        models.save_paddle(detector, tmp_path / "back")
    assert detector.labels.names[14] == "person"


def test_other_forms_of_the_same(ssd, tmp_path):
    """A joined file holds no names: the row knows them."""
    stored = paddle.read(ssd)
    files = (ssd / name for name in sorted(stored))
    (tmp_path / "__params__").write_bytes(b"".join(file.read_bytes() for file in files))
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps(stored, 2))
    for path in tmp_path.iterdir():
        detector = models.load("ssd_mobilenet_v1_voc", weights=path)
        for variable in detector.network.variables:
            name = family_of(detector.config).reference_name(variable.path)
            assert np.array_equal(variable, from_reference(stored[name], name)), name


def test_statistics_are_folded(tmp_path):
    """The published form of some frozen rows holds batch norms: y = s (x - m) / sqrt(v + e) + o."""
    row, norm = "faster_rcnn_r50_fpn_1x", "bn3a_branch2a"
    names = [n.removesuffix("_scale") for n in published.tensors(row) if n.endswith("_scale")]
    more = {
        f"{name}_{kind}": published.tensors(row)[f"{name}_scale"]
        for name in names
        for kind in ("mean", "variance")
    }
    folder = published.write(tmp_path / "w", row, more)
    network = models.load(row, weights=folder).network
    s, o, m, v = (published.values(f"{norm}_{k}", (128,)) for k in published.NORM)
    layer = network.get_layer("res3a_branch2a")
    np.testing.assert_allclose(layer.scale.numpy(), s / np.sqrt(v + 1e-5), rtol=1e-6)
    expected = o - m * s / np.sqrt(v + 1e-5)
    np.testing.assert_allclose(layer.offset.numpy(), expected, rtol=1e-5, atol=1e-7)
    models.save_paddle(models.load(row, weights=folder), tmp_path / "folded")
    assert {p.name for p in (tmp_path / "folded").iterdir()} == set(published.tensors(row))
    again = models.load(row, weights=tmp_path / "folded").network
    for one, other in zip(network.variables, again.variables):
        assert np.array_equal(one, other), one.path
    (folder / f"{norm}_mean").unlink()
    with pytest.raises(CheckpointError, match=f"missing: {norm}_mean"):
        models.load(row, weights=folder)


def test_what_does_not_fit_is_listed(tmp_path):
    row = "ssd_mobilenet_v1_voc"
    folder = published.write(tmp_path / "w", row, conv6_sep_bn_mean=np.ones(1023, "float32"))
    (folder / "conv1_weights").rename(folder / "conv0_weights")
    with pytest.raises(CheckpointError) as error:
        models.load(row, weights=folder)
    assert str(error.value) == (
        f"{folder}: does not fit the network; missing: conv1_weights; left over: conv0_weights; "
        "wrong shape: conv6_sep_bn_mean (1023,) instead of (1024,)"
    )


def test_what_training_leaves_behind_is_ignored(ssd, tmp_path):
    more = {
        "@LR_DECAY_COUNTER@": np.array([3]),
        "learning_rate": np.ones(1, "float32"),
        "learning_rate_warmup": np.ones(1, "float32"),
        "reduce_sum_2.tmp_0": np.ones(1, "float32"),
        "tmp_2": np.ones(1, "float32"),
        "conv1_weights_momentum_0": np.ones((32, 3, 3, 3), "float32"),
        "conv2d_22.w_0_mean_square_0": np.ones((12, 512, 1, 1), "float32"),
    }
    paddle.write(tmp_path / "w", {**paddle.read(ssd), **more}.items())
    models.load("ssd_mobilenet_v1_voc", weights=tmp_path / "w")


def test_a_head_of_other_automatic_numbers(ssd, tmp_path):
    def renamed(name):
        number = name.partition(".")[0].removeprefix("conv2d_")
        return name.replace(number, str(int(number) + 7), 1) if number != name else name

    stored = paddle.read(ssd)
    there = {renamed(n) if n.startswith("conv2d_") else n: value for n, value in stored.items()}
    assert "conv2d_40.w_0" in there
    paddle.write(tmp_path / "w", there.items())
    network = models.load("ssd_mobilenet_v1_voc", weights=tmp_path / "w").network
    kernel = from_reference(stored["conv2d_33.w_0"], "conv2d_33.w_0")
    np.testing.assert_array_equal(network.get_layer("ssd_class_5").kernel, kernel)


def test_values_must_be_finite_numbers(tmp_path):
    row, bad = "ssd_mobilenet_v1_voc", np.full((32, 3, 3, 3), np.nan, "float32")
    for name, value, said in (
        ("conv1_bn_variance", np.full(32, -0.5, "float32"), "a variance is below 0: -0.5"),
        ("conv1_weights", np.full((32, 3, 3, 3), 1e300), "numbers that float32 can hold"),
    ):
        folder = published.write(tmp_path / name, row, **{name: value})
        with pytest.raises(CheckpointError, match=f"{name}: .*{said}"):
            models.load(row, weights=folder)
    for number, value in enumerate((bad, np.ones((32, 3, 3, 3), "int32"))):
        folder = published.write(tmp_path / str(number), row, conv1_weights=value)
        with pytest.raises(CheckpointError, match="conv1_weights: expected finite numbers"):
            models.load(row, weights=folder)


def test_names_of_published_classes():
    assert len(COCO_LABELS) == 80 and COCO_LABELS.ids[-1] == 90
    assert COCO_LABELS.names[COCO_LABELS.label_of(44)] == "bottle"
    assert COCO_LABELS.names[COCO_LABELS.label_of(62)] == "chair"
