"""The command line: what it accepts, what it refuses in one line, and one small run end to end."""

import json

import numpy as np
import pytest

from kdet.config import R50, RCNN, Recipe, RetinaNet, coco_data, detectron
from kdet.errors import ConfigError
from kdet.train import cli
from kdet.train import run as session
from kdet.train.cli import parse
from kdet.weights.npz import read_npz

RECIPE = Recipe("row", RetinaNet(R50), coco_data(pad_to=128), detectron("1x", base_lr=0.01))


def options(*arguments):
    return parse("row", ["--out", "x", *arguments])


def test_defaults_and_every_kind_of_flag():
    said = options()
    assert (said.out, said.data, said.init, said.resume, said.jit) == ("x", None, "none", 0, "auto")
    said = options("--batch=4", "--resume", "--precision", "bf16", "data.flip=0", "--seed", "7")
    assert (said.batch, said.resume, said.precision, said.seed) == (4, True, "bf16", 7)
    assert said.overrides == ("data.flip=0",)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--batc=4"], "batc"),
        (["--batch=0"], "batch"),
        (["--precision=fp8"], "fp32, bf16, fp16|fp32|bf16"),
        (["--eval_every=-1"], "--eval_every"),
    ],
)
def test_wrong_flags_are_one_line(arguments, said):
    with pytest.raises(ConfigError, match=said) as error:
        options(*arguments)
    assert "\n" not in str(error.value)


def test_help_lists_the_flags(capsys):
    assert cli.run(RECIPE, ["--help"]) == 0
    text = capsys.readouterr().out
    for flag in ("--data", "resume", "--replicas", "--precision", "schedule.batch=4"):
        assert flag in text


def test_the_recipe_is_resolved_in_order():
    drawn = cli.resolve(RECIPE, options("schedule.base_lr=0.5"))
    assert drawn.data.dataset == "synthetic" and drawn.schedule.base_lr == 0.5
    assert drawn.schedule.batch == 8 and drawn.model.backbone.norm == "batch"
    real = cli.resolve(RECIPE, options("--data=d", "--batch=2", "model.width=64"))
    assert real.model.backbone.norm == "frozen" and real.model.width == 64
    assert (real.schedule.batch, real.schedule.base_batch) == (2, 16)


def test_mask_heads_need_outlines():
    row = Recipe(
        "row", RCNN(R50, mask=True), coco_data(max_edges=96), detectron("1x", base_lr=0.01)
    )
    assert cli.resolve(row, options()).data.max_edges == 96
    with pytest.raises(ConfigError, match="set data.max_edges"):
        cli.resolve(row, options("data.max_edges=0"))


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--data=nowhere", "schedule.bach=4"], "did you mean 'batch'?"),
        (["--data=nowhere", "--resume", "--replicas=3"], "nowhere: no such file or folder"),
        (
            ["--resume", "--replicas=3"],
            "must be a multiple of the number of replicas|has not used TensorFlow",
        ),
    ],
)
def test_errors_are_one_line_and_code_2(tmp_path, capfd, arguments, said):
    code = cli.run(RECIPE, ["--out", str(tmp_path / "o"), *arguments])
    text = capfd.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and text.startswith("error: ")
    assert any(part in text for part in said.split("|"))


SMALL = ["model.backbone.norm=batch", "model.width=16", "model.depth=1"]
SMALL += ["model.pre_nms_top_n_per_level=50"]
RUN = [*SMALL, "--batch=2", "--log_every=1", "--eval_every=3"]


@pytest.fixture(scope="module")
def no_export():
    """Leaves the export to its own tests; it takes as long as the run."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "export", lambda detector, folder: folder)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory, no_export):
    """A run of three steps on a small drawn data set, in one go."""
    from kdet.data.convert.synthetic import make_synthetic

    folder = tmp_path_factory.mktemp("command")
    for seed, split in enumerate(("train", "val")):
        make_synthetic(folder / "data" / split, 8, seed, (64, 64), masks=False)
    return folder, train(folder, "whole", "--stop_after=3")


def train(folder, out, *more):
    data = ["--data", str(folder / "data"), "--out", str(folder / out), "--init=none"]
    data += ["--nofit_data"]
    small = ["data.short_side=64", "data.long_side=64", "data.canvases=((128, 128),)"]
    return cli.run(RECIPE, [*data, *small, *RUN, *more])


def test_a_run_leaves_checkpoints_log_and_pictures(whole):
    folder, code = whole
    assert code == 0
    names = {p.name for p in (folder / "whole").iterdir()}
    assert names == {
        *("last.npz", "best.npz", "log.jsonl", "tensorboard", "analysis"),
        *("training_000000.png", "predictions_000003.png"),
    }
    lines = [json.loads(line) for line in (folder / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 3]
    assert set(lines[0]["losses"]) == {"class", "box"} and "AP50" in lines[-1]["eval"]
    assert lines[0]["rate"] == pytest.approx(0.01 / 8 / 3)
    _, meta = read_npz(folder / "whole" / "last.npz")
    assert meta["step"] == 3 and meta["recipe"]["model"]["num_classes"] == 4
    assert meta["labels"]["names"] == ["circle", "square", "triangle", "star"]


def test_stopped_and_resumed_is_the_same_run(whole, capfd):
    folder, _ = whole
    assert train(folder, "parts", "--stop_after=2", "--eval_every=0") == 0
    assert train(folder, "parts", "--stop_after=3") == 2
    assert "add --resume" in capfd.readouterr().err
    assert train(folder, "parts", "--stop_after=3", "--resume", "--seed=1") == 2
    assert "seed was 0 and is 1 now" in capfd.readouterr().err
    assert train(folder, "parts", "--stop_after=3", "--eval_every=0", "--resume") == 0
    (once, about), (twice, same) = (
        read_npz(folder / out / "last.npz") for out in ("whole", "parts")
    )
    assert {**about, "best": None, "evaluated": 0} == same and once.keys() == twice.keys()
    for name, value in once.items():
        np.testing.assert_array_equal(value, twice[name], err_msg=name)
