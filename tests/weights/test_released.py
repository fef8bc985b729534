"""The published weights by name, from a server on this machine."""

import json
import subprocess
import sys
import tarfile

import numpy as np
import published
import pytest

from kdet import models
from kdet.config import LabelMap
from kdet.errors import CheckpointError, DownloadError
from kdet.models import loading as zoo
from kdet.train.start import start_from
from kdet.weights import addresses as sources
from kdet.weights import paddle
from kdet.weights.paddle.names import from_reference

ROW = "ssd_mobilenet_v1_voc"
TRUNK = "MobileNetV1_pretrained.tar"
COCO = "ssd_mobilenet_v1_coco_pretrained.tar"


def archive(folder, path, tensors):
    paddle.write(folder / path.stem, tensors.items())
    with tarfile.open(path, "w") as tar:
        tar.add(folder / path.stem, path.stem)
    return path.read_bytes()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    whole = {n: published.values(n, shape) for n, shape in published.tensors(ROW).items()}
    trunk = {n: v for n, v in whole.items() if not n.startswith(("conv2d", "conv7"))}
    trunk["fc7_weights"], trunk["fc7_offset"] = np.ones((1024, 1000), "f4"), np.ones(1000, "f4")
    return {
        name: archive(folder, folder / name, tensors)
        for name, tensors in ((f"{ROW}.tar", whole), (TRUNK, trunk), (COCO, trunk))
    }


@pytest.fixture
def there(server, home, files, monkeypatch):
    server.files = files
    monkeypatch.setenv("KDET_MIRROR", server.url)
    return server


def test_by_name(there, home, monkeypatch):
    detector = models.load(ROW)
    bias = detector.network.get_layer("ssd_class_3").bias
    np.testing.assert_array_equal(bias, published.values("conv2d_29.b_0", (126,)))
    assert [path for path, _ in there.seen] == [f"/there/{ROW}.tar"]
    (kept,) = (home.parent / "converted").iterdir()
    assert models.load(kept).labels == detector.labels

    with monkeypatch.context() as patch:  # the second time, the converted form is read
        patch.setattr(zoo, "load_strict", None)
        again = models.load(ROW)
    for one, other in zip(detector.network.variables, again.network.variables):
        np.testing.assert_array_equal(one, other)
    kept.write_bytes(kept.read_bytes()[:5000])
    assert models.load(ROW).labels.names[0] == "aeroplane"
    models.load(kept)
    assert len(there.seen) == 1


def test_two_processes_convert_at_once(there, home):
    """Both say what they loaded; what is kept is whole."""
    code = (
        "from kdet import models; import zlib\n"
        f"d = models.load({ROW!r})\n"
        "print(sum(zlib.crc32(v.numpy().tobytes()) for v in d.network.variables))"
    )
    jobs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True)
        for _ in range(2)
    ]
    said = [job.communicate(timeout=200) for job in jobs]
    sums = {out for out, _ in said}
    assert len(sums) == 1 and sums.pop().strip().isdigit(), said
    (kept,) = (home.parent / "converted").iterdir()
    models.load(kept)
    assert len(there.seen) == 1


def test_without_room_for_the_converted_form(there, home, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zoo, "write_npz", full)
    assert models.load(ROW).labels.names[0] == "aeroplane"
    assert not list((home.parent / "converted").iterdir())


def test_a_mirror_by_argument(there, home, tmp_path, monkeypatch):
    monkeypatch.setenv("KDET_MIRROR", "http://gone.invalid")
    (tmp_path / f"{ROW}.tar").write_bytes(there.files[f"{ROW}.tar"])
    assert models.load(ROW, mirror=tmp_path).labels.names[0] == "aeroplane"
    assert not there.seen


def test_other_classes_and_settings(there, capsys):
    detector = models.load(ROW, num_classes=3, overrides=["model.score_threshold=0.5"])
    assert detector.config.score_threshold == 0.5 and detector.config.num_classes == 3
    assert "12 newly initialised: ssd_class_0" in capsys.readouterr().err


def test_an_incomplete_archive_is_an_error(there, home):
    there.files = {f"{ROW}.tar": there.files[TRUNK]}
    with pytest.raises(CheckpointError, match="missing: conv7_1_extra1_weights, .*left over: fc7_"):
        models.load(ROW)


def test_an_answer_that_is_no_archive_is_not_kept(there, home):
    there.files = {f"{ROW}.tar": b"<html>welcome to this hotel</html>" * 99}
    with pytest.raises(DownloadError, match="file was refused: .*not a Paddle checkpoint"):
        models.load(ROW)
    assert not (home / f"{ROW}.tar").exists() and not (home / f"{ROW}.tar.json").exists()


def start(init, row, classes=4):
    recipe = models.recipe(row)
    labels = LabelMap(tuple("abcdefgh"[:classes]), tuple(range(classes)))
    detector = models.load(row, weights=None, num_classes=classes)
    return detector.network, start_from(init, recipe, detector.network, labels)


def test_recipes_start_from_published_backbones(there, files):
    network, report = start("imagenet", "yolov3_mobilenet_v1")
    assert (len(report.loaded), len(report.initialized)) == (135, 106)
    assert report.unused == ("fc7_offset", "fc7_weights")
    assert all(path.startswith("yolo_") for path in report.initialized)
    name = "conv5_6_dw_weights"
    expected = from_reference(published.values(name, (512, 1, 3, 3)), name)
    np.testing.assert_array_equal(network.get_layer("conv5_6_dw").kernel, expected)

    _, report = start("imagenet", ROW)
    assert (len(report.loaded), len(report.initialized)) == (135, 64)
    assert "64 newly initialised: conv7_1_extra1, conv7_1_extra2," in str(report)
    _, report = start("released", ROW)
    assert (len(report.loaded), len(report.initialized)) == (187, 12) and not report.unused
    assert [path.split("/")[-1] for path, _ in there.seen] == [TRUNK, COCO, f"{ROW}.tar"]


def test_offline_the_way_out_is_named(there, home):
    there.plan = ["404"]
    with pytest.raises(DownloadError) as error:
        start("imagenet", "yolov3_mobilenet_v1")
    said = str(error.value)
    assert TRUNK in said and str(home / TRUNK) in said and "KDET_MIRROR" in said
    assert said.endswith("--init none starts from random weights")


def test_a_backbone_must_be_whole(there, tmp_path):
    path = tmp_path / "x.tar"
    path.write_bytes(there.files[TRUNK])
    with pytest.raises(CheckpointError, match="missing: yolo_input.conv.weights, .* and 255 more"):
        start(str(path), "yolov3_darknet")


def test_the_weights_at_hand_start_both_mobilenet_rows(shared):
    trunk = shared / "weights/ssd_mobilenet_v1_imagenet.tar"
    rest = shared / "golden/replay/init_ssd_bccd_rest.tar"
    _, report = start(str(trunk), "yolov3_mobilenet_v1")
    assert (len(report.loaded), len(report.initialized), report.unused) == (135, 106, ())
    _, report = start(str(trunk), ROW)
    assert (len(report.loaded), len(report.initialized), report.unused) == (135, 64, ())
    network, report = start(f"{trunk},{rest}", ROW, classes=3)
    assert (len(report.loaded), report.initialized, report.unused) == (199, (), ())
    bias = paddle.read(rest)["conv2d_22.b_0"]
    np.testing.assert_array_equal(network.get_layer("ssd_box_0").bias, bias)


def test_frozen_norms_are_folded_at_the_start(tmp_path):
    """An ImageNet backbone has batch norms; R-CNNs and RetinaNets hold them folded."""
    shapes = published.tensors("retinanet_r50_fpn_1x")
    trunk = {n: s for n, s in shapes.items() if not n.startswith(("fpn", "retnet"))}
    norms = {n.removesuffix("_scale"): s for n, s in trunk.items() if n.endswith("_scale")}
    trunk |= {f"{n}_{kind}": s for n, s in norms.items() for kind in ("mean", "variance")}
    trunk |= {"fc_0.w_0": (2048, 10), "fc_0.b_0": (10,)}
    paddle.write(tmp_path / "w", ((n, published.values(n, s)) for n, s in trunk.items()))
    network, report = start(str(tmp_path / "w"), "retinanet_r50_fpn_1x")
    assert (len(report.loaded), len(report.initialized)) == (159, 36)
    assert report.unused == ("fc_0.b_0", "fc_0.w_0")
    s, v = (published.values(f"bn5c_branch2b_{kind}", (512,)) for kind in ("scale", "variance"))
    scale = network.get_layer("res5c_branch2b").scale
    np.testing.assert_allclose(scale, s / np.sqrt(v + 1e-5), rtol=1e-6)


def test_addresses():
    for name in models.names():
        assert sources.released(name).endswith(f"/object_detection/{name}.tar")
    starts = {}
    for name in models.names():
        model = models.recipe(name).model
        starts[name] = sources.start_url(model).split("/")[-1]
    assert starts["mask_rcnn_se154_vd_fpn_s1x"] == "SENet154_vd_pretrained.tar"
    assert starts["faster_rcnn_r50_1x"] == "ResNet50_cos_pretrained.tar"
    assert starts["faster_rcnn_r50_vd_1x"] == "ResNet50_vd_pretrained.tar"
    assert starts["faster_rcnn_r101_vd_fpn_2x"] == "ResNet101_vd_pretrained.tar"
    assert starts["faster_rcnn_x101_vd_64x4d_fpn_1x"] == "ResNeXt101_vd_64x4d_pretrained.tar"
    assert starts["yolov3_r34"] == "ResNet34_pretrained.tar" and starts[ROW] == COCO
    assert starts["yolov3_darknet"] == "DarkNet53_pretrained.tar"
    assert json.dumps(starts).count("ResNet101_pretrained") == 5
