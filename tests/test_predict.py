"""Images in, detections and a SavedModel out."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from kdet import cli, models
from kdet.config import R50, Data, LabelMap, RetinaNet
from kdet.config.text import to_dict
from kdet.errors import ConfigError, DataError
from kdet.models import recipe
from kdet.predict import listed, load_image
from kdet.serving.saved_model import export
from kdet.weights.npz import write_npz

LABELS = LabelMap(("ant", "bee", "cow"), (1, 5, 9))


@pytest.fixture(scope="module")
def detector():
    """Weights small enough that features neither explode nor die."""
    keras.utils.set_random_seed(0)
    data = Data(short_side=128, long_side=160, pad_to=128)
    made = models.build(RetinaNet(R50, num_classes=3), data, LABELS)
    for variable in made.network.variables:
        if variable.path.endswith("branch2c/scale"):
            variable.assign(np.full(variable.shape, 0.2))
        if variable.path == "retina_head/class_output/bias":
            variable.assign(np.full(variable.shape, -1.0))
    return made


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (3, 9, 12, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(s).resize((120, 90))) for s in small]


def test_every_kind_of_image_gives_the_same(detector, pictures, tmp_path):
    array = pictures[0]
    image = Image.fromarray(array)
    image.save(tmp_path / "a.png")
    turned = Image.fromarray(np.rot90(array))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "b.png", exif=exif)
    kinds = [array, image, str(tmp_path / "a.png"), tmp_path / "b.png"]
    first, *others = detector.detect(kinds, threshold=0.0)
    assert len(first) == 100 and first.names == LABELS.names
    for other in others:
        np.testing.assert_array_equal(other.image, array)
        np.testing.assert_allclose(other.boxes, first.boxes, atol=1e-3)
    assert len(detector.detect(tmp_path)) == 2
    assert first.draw(0.0).size[0] >= 120


def test_threshold_and_batch(detector, pictures):
    alone = detector.detect(pictures, threshold=0.0)
    from kdet.predict import detect

    together = detect(detector, pictures, threshold=0.0, batch=3)
    for a, b in zip(alone, together):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)
    limit = float(np.median(alone[0].scores))
    few = detector.detect(pictures[0], threshold=limit)[0]
    assert 0 < len(few) < 100 and few.scores.min() >= limit


def rows(found):
    """(n, 6) boxes, labels and ten times the scores, which so agree to 1e-5."""
    return np.concatenate([found.boxes, found.labels[:, None], 10 * found.scores[:, None]], 1)


def test_batches_and_one_tile_change_nothing(detector, pictures):
    """Images of several canvases in turns; in a batch, each keeps the canvas that it has alone."""
    images = [*pictures, *(np.ascontiguousarray(p.transpose(1, 0, 2)) for p in pictures)]
    images = [images[k] for k in (0, 3, 1, 4, 2, 5)] + [pictures[0][:64, :64]]
    alone = [detector.detect(image, threshold=0.0)[0] for image in images]
    for batch in (3, 4):
        for a, b in zip(alone, detector.detect(images, threshold=0.0, batch=batch)):
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
            ours, theirs = (rows(found) for found in (a, b))
            # nearly equal scores may change places, but each detection has the same one there
            apart = np.abs(ours[:, None] - theirs).max(-1)
            np.testing.assert_array_less(apart.min(0), 1e-4)
            np.testing.assert_array_less(apart.min(1), 1e-4)
    for image, a in zip(images, alone):  # up to 90 x 120, and a tile is 128 x 160
        one = detector.detect(image, threshold=0.0, tiles=True)[0]
        for name in ("boxes", "scores", "labels", "image"):
            np.testing.assert_array_equal(getattr(one, name), getattr(a, name))


def test_what_is_no_image_is_an_error(detector, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    empty = tmp_path / "empty"
    empty.mkdir()
    for thing, said in (
        (tmp_path / "text.jpg", "not a readable image"),
        (tmp_path / "none.jpg", "no such image"),
        (empty, "expected a folder with"),
        (np.zeros((4, 4, 3)), "uint8; got (4, 4, 3) float64"),
        (np.zeros((4,), np.uint8), "got (4,) uint8"),
        (np.zeros((0, 4, 3), np.uint8), "got (0, 4, 3)"),
    ):
        with pytest.raises(DataError) as error:
            detector.detect(thing)
        assert said in str(error.value)


def test_arrays_of_one_channel_are_grey(detector, pictures):
    photo = pictures[0]
    grey = photo[..., :1]
    for image in (grey, grey[..., 0], np.ma.array(grey), grey.copy(order="F")):
        np.testing.assert_array_equal(load_image(image), np.repeat(grey, 3, 2))
    assert load_image(np.dstack([photo, grey])).shape == photo.shape
    found = detector.predict([grey, photo])
    assert found["boxes"].shape == (2, 100, 4)
    assert len(detector.detect([grey, photo])) == 2


@pytest.mark.parametrize(
    "image, said",
    [
        (np.full((4, 5, 3), np.nan), "uint8; got (4, 5, 3) float64; scale the values"),
        (np.zeros((4, 5), bool), "got (4, 5) bool; scale the values"),
        (np.zeros((3, 40, 50), np.uint8), "got (3, 40, 50) uint8; the channels go last"),
        (np.zeros((1, 40, 50), np.uint8), "got (1, 40, 50) uint8; the channels go last"),
        (np.zeros((2, 4, 5, 3), np.uint8), "give several images as a list"),
        (np.zeros((40, 50, 7), np.uint8), "got (40, 50, 7) uint8"),
        (np.zeros((), np.uint8), "got () uint8"),
        (None, "got NoneType"),
        (b"bytes", "got bytes"),
        ([[1], [1, 2]], "got list"),
        ({}, "got dict"),
        (Image.new("RGB", (0, 5)), "expected an image with pixels"),
    ],
)
def test_what_is_no_image_is_said_with_its_number(detector, pictures, image, said):
    with pytest.raises(DataError) as error:
        detector.detect([pictures[0], image])
    assert str(error.value).startswith("image 1: ") and said in str(error.value)


def test_empty_lists_and_numbers_beyond_the_first_batch(detector, pictures):
    photo = pictures[0]
    for empty in ([], ()):
        with pytest.raises(DataError, match="at least one image"):
            detector.detect(empty)
    for empty in ([], np.zeros((0, 4, 5, 3), np.uint8)):
        with pytest.raises(DataError, match="at least one image, got none"):
            detector.predict(empty)
    with pytest.raises(DataError, match=r"image 9: expected \(H, W, 3\) or \(H, W, 1\) uint8"):
        detector.predict([photo] * 9 + [photo[..., 0]])


def test_lists_may_hold_folders(pictures, tmp_path):
    for name in ("one/b.jpg", "one/a.jpg", "two/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pictures[0]).save(tmp_path / name)
    found = listed([tmp_path / "one", pictures[1], str(tmp_path / "two")])
    assert [p.name for p in (*found[:2], found[3])] == ["a.jpg", "b.jpg", "c.jpg"]
    assert found[2] is pictures[1]


def same_but_for_ties(found, expected):
    """Whether every detection is there once; neighbours of one score may have changed places."""
    free = list(range(len(expected)))
    for label, score, box in zip(found["labels"], found["scores"], found["boxes"]):
        near = [
            k
            for k in free
            if expected.labels[k] == label
            and abs(expected.scores[k] - score) < 1e-4
            and np.abs(expected.boxes[k] - box).max() < 1e-2
        ]
        if not near:
            return False
        free.remove(near[0])
    return not free


def test_saved_model_equals_the_detector_without_kdet(detector, pictures, tmp_path):
    folder = export(detector, tmp_path / "saved_model")
    expected = detector.detect(pictures, threshold=0.0)
    np.save(tmp_path / "images.npy", np.stack(pictures))
    for index, picture in enumerate(pictures):
        Image.fromarray(picture[: 90 - 7 * index]).save(tmp_path / f"{index}.png")
    files = [tmp_path / f"{index}.png" for index in range(3)]
    of_files = detector.detect(files, threshold=0.0)
    code = (
        "import sys; sys.modules['kdet'] = None\n"
        "import numpy as np, tensorflow as tf\n"
        "model = tf.saved_model.load('saved_model')\n"
        "images = np.load('images.npy')\n"
        "a = model.signatures['serving_default'](image=tf.constant(images))\n"
        "one = model.signatures['serving_default'](image=tf.constant(images[:1]))\n"
        "files = [open(f'{k}.png', 'rb').read() for k in range(3)]\n"
        "b = model.signatures['serve_bytes'](image_bytes=tf.constant(files))\n"
        "for name, o in (('a', a), ('one', one), ('b', b)):\n"
        "    np.savez(name, **{k: v.numpy() for k, v in o.items()})\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    for name, wanted in (("a", expected), ("one", expected[:1]), ("b", of_files)):
        found = np.load(tmp_path / f"{name}.npz")
        assert sorted(found.files) == ["boxes", "labels", "num_detections", "scores"]
        assert found["num_detections"].tolist() == [100] * len(wanted)
        for row, one in enumerate(wanted):
            np.testing.assert_allclose(found["scores"][row], one.scores, atol=1e-4)
            assert same_but_for_ties({k: v[row] for k, v in found.items()}, one)
    labels = json.loads((folder / "assets" / "labels.json").read_text())
    assert labels == {"names": ["ant", "bee", "cow"], "ids": [1, 5, 9]}
    assert not list(tmp_path.glob(".saved_model*"))


def test_export_does_not_overwrite_other_things(detector, tmp_path):
    (tmp_path / "precious.txt").touch()
    with pytest.raises(ConfigError, match="not a SavedModel"):
        export(detector, tmp_path)
    assert (tmp_path / "precious.txt").exists()


def test_mixed_precision_is_exported_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = models.build(RetinaNet(R50, num_classes=3), labels=LABELS)
    finally:
        keras.config.set_dtype_policy("float32")
    twin = mixed.in_float32()
    assert twin is not mixed and twin.in_float32() is twin
    for ours, theirs in zip(mixed.network.variables, twin.network.variables):
        np.testing.assert_array_equal(ours, theirs)


def test_the_command_detects(detector, pictures, tmp_path, capsys, monkeypatch):
    row = recipe("retinanet_r50_fpn_1x")
    meta = {"recipe": to_dict(row), "labels": to_dict(LABELS)}
    meta["recipe"] |= {"model": to_dict(detector.config), "data": to_dict(detector.data)}
    arrays = {f"weights/{v.path}": v.numpy() for v in detector.network.variables}
    write_npz(tmp_path / "last.npz", arrays, meta)
    Image.fromarray(pictures[0]).save(tmp_path / "a.png")
    out = tmp_path / "out"
    command = ["detect", str(tmp_path), str(tmp_path / "a.png"), "--out", str(out)]
    assert cli.main(command) == 0
    assert Image.open(out / "a.png").size[0] > 0
    rows = json.loads((out / "detections.json").read_text())["a.png"]
    assert rows[0]["name"] in LABELS.names and len(rows[0]["box"]) == 4
    assert cli.main(["detect", str(tmp_path / "none"), command[2]]) == 1
    assert "no such checkpoint" in capsys.readouterr().err
    assert cli.main(["detect", str(tmp_path), "x.png"]) == 1
    assert "kdet detect: x.png: no such image" in capsys.readouterr().err
    assert cli.main(["zoo"]) == 0
    assert "retinanet_r50_fpn_1x" in capsys.readouterr().out
