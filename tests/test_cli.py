"""The `kdet` command: a row's name gives a picture, a SavedModel, a table."""

import json

import numpy as np
import published
import pytest
import tensorflow as tf
from PIL import Image

from kdet import cli, models
from kdet.cli.detect import picture_names
from kdet.models import loading
from kdet.weights import paddle

ROW = "ssd_mobilenet_v1_voc"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Small deterministic ones; the coarsest map sees a person everywhere."""
    arrays = {name: published.values(name, s) for name, s in published.tensors(ROW).items()}
    arrays["conv2d_33.b_0"] = np.tile(5.0 * (np.arange(21) == 15), 6).astype("float32")
    folder = tmp_path_factory.mktemp("weights") / ROW
    paddle.write(folder, arrays.items())
    return folder


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "in" / "street.jpg"
    path.parent.mkdir()
    Image.fromarray(np.full((90, 120, 3), 90, "uint8")).save(path)
    return path


def test_a_picture_from_a_row_in_one_command(weights, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["detect", ROW, str(photo), "--weights", str(weights)]) == 0
    assert Image.open("detections/street.png").size[0] >= 120
    found = json.loads((tmp_path / "detections/detections.json").read_text())["street.jpg"]
    assert found[0]["name"] == "person"
    assert "1 pictures and detections.json in detections" in capsys.readouterr().out


def test_the_published_weights_are_the_default(weights, photo, tmp_path, monkeypatch, capsys):
    seen = []

    def offline(recipe, *rest):
        seen.append(recipe.name)
        raise OSError("offline")

    monkeypatch.setattr(loading, "_released", offline)
    assert cli.main(["detect", ROW, str(photo)]) == 1
    assert cli.main(["export", ROW, str(tmp_path / "saved")]) == 1
    assert seen == [ROW] * 2
    assert capsys.readouterr().err == "kdet detect: offline\nkdet export: offline\n"


def test_a_row_is_exported(weights, photo, tmp_path):
    out = tmp_path / "saved"
    assert cli.main(["export", ROW, str(out), f"--weights={weights}"]) == 0
    serve = tf.saved_model.load(str(out)).signatures["serve_bytes"]
    found = serve(image_bytes=tf.constant([photo.read_bytes()]))
    expected = models.load(ROW, weights).detect(photo, threshold=0.0)[0]
    assert found["num_detections"].numpy() == len(expected)
    np.testing.assert_allclose(found["scores"][0, :5], expected.scores[:5], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["detect", "some/where", "A"], "some/where: no such checkpoint"),
        (["detect", "A", "A"], "not a checkpoint of kdet; for one of Paddle, give the row's name"),
        (["detect", ".", "A", "--weights=A"], "is a checkpoint; "),
        (["evaluate", "A", "--weights=A"], "A: is a checkpoint; the argument weights is for rows"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((9, 9, 3), "uint8")).save("A", "png")
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"kdet {arguments[0]}: ") and said in error and error.count("\n") == 1


def test_without_arguments_the_help_is_an_error(capsys):
    assert cli.main([]) == 2
    assert capsys.readouterr().out.startswith("usage: kdet COMMAND")


def test_no_picture_goes_over_another(tmp_path):
    images = [tmp_path / name for name in ("a.jpg", "a.png", "a_2.png", "b/a.jpg", "c.jpg")]
    names = picture_names(images, tmp_path)
    assert [p.name for p in names] == ["a_3.png", "a_4.png", "a_2_2.png", "a_5.png", "c.png"]
    assert len({*names, *images}) == 10
    assert [p.name for p in picture_names(images[:1], tmp_path / "out")] == ["a.png"]


@pytest.mark.parametrize("command", ["", "analyse", "detect", "evaluate", "export", "zoo"])
def test_help(command, capsys):
    try:
        code = cli.main([*filter(None, [command]), "--help"])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr().out
    assert code == 0 and said.startswith(f"usage: kdet {command}".rstrip())
    assert "MODEL" in said or command in ("", "zoo")
