"""Cards of the zoo: current, and counted right."""

import argparse
import pathlib

import keras
import pytest

from kdet import cli, models
from kdet.cli import evaluate
from kdet.errors import ConfigError
from kdet.ops import tf_layers
from kdet.zoo import cards
from kdet.zoo.cards import SIZES

ROOT = pathlib.Path(__file__).parents[1]


def test_the_page_is_current():
    assert (ROOT / "docs" / "zoo.md").read_text("utf-8") == cards.page()


def test_every_row_has_its_facts():
    assert sorted(SIZES) == list(models.names())
    same = {}
    for name, facts in SIZES.items():
        assert same.setdefault(models.recipe(name).model, facts) == facts, name


def test_every_card_says_everything():
    wanted = "reference input parameters GFLOPs weights starts evaluate detect train".split()
    for name in models.names():
        recipe = models.recipe(name)
        text = cards.text(recipe)
        assert [line.split()[0] for line in text.splitlines()[1:]][: len(wanted)] == wanted
        assert "Apache-2.0" in text and f"/{name}.tar" in text
        assert ("mask AP" in text) == ("mask_ap" in recipe.reference)


def test_evaluate_takes_what_the_cards_say():
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    for name in models.names():
        said = cards.command(models.recipe(name)).split()
        assert said[:2] == ["kdet", "evaluate"]
        flags = parser.parse_intermixed_args(said[2:])
        assert flags.model == name and flags.weights == "released" and flags.data == "records"


def test_counting_by_hand():
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(image)  # 4x6 outputs
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = keras.layers.Conv2D(8, 1, groups=4, use_bias=False)(x)
    x = keras.layers.Conv2DTranspose(5, 2, strides=2, use_bias=False)(x)
    x = keras.layers.Dense(7, use_bias=False)(keras.layers.GlobalAveragePooling2D()(x))

    class Detector:
        network = keras.Model(image, x)

    tensors, numbers, gflops = cards.measure(Detector, (8, 12))
    convolved = 24 * (8 * 27 + 8 * 9 + 8 * 2 + 8 * 5 * 4)
    assert (tensors, numbers) == (6, 8 * 27 + 8 + 72 + 16 + 160 + 35)
    assert gflops * 1e9 == pytest.approx(2 * (convolved + 35))


@pytest.mark.parametrize("instructions", ["", "avx512", "avx2"])
def test_one_row_counted_again(instructions, monkeypatch):
    monkeypatch.setattr(tf_layers, "onednn", lambda: instructions)
    recipe = models.recipe("ssd_mobilenet_v1_voc")
    tensors, numbers, gflops = cards.measure(models.build(recipe.model), cards.canvas(recipe))
    assert (tensors, numbers, round(gflops, 1)) == tuple(SIZES[recipe.name])


def test_the_command(capsys):
    assert cli.main(["zoo", "faster_rcnn_r101_vd_fpn_2x"]) == 0
    said = capsys.readouterr().out
    for words in (
        "box ap 40.6", "60.77 M in 348 tensors", "/faster_rcnn_r101_vd_fpn_2x.tar",
        "ResNet101_vd_pretrained.tar", "Apache-2.0", "at 800x1344",
        "kdet evaluate faster_rcnn_r101_vd_fpn_2x --data records: AP\n", "243 MB",
        "links the file of the row without vd", "kdet detect faster_rcnn_r101_vd_fpn_2x image.jpg",
    ):  # fmt: skip
        assert words in said
    assert cli.main(["zoo", "faster_rcnn_r101_vd"]) == 1
    assert "did you mean" in capsys.readouterr().err
    assert cli.main(["zoo", "ssd_mobilenet_v1_voc"]) == 0
    assert "--data records: mAP\n" in capsys.readouterr().out
    assert cli.main(["zoo", "yolov3_r34"]) == 0
    said = capsys.readouterr().out
    assert "608 x 608, 416 x 416, 320 x 320" in said and "--sides 608,416,320: AP" in said
    with pytest.raises(ConfigError):
        cards.text(models.recipe("nothing"))
