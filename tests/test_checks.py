"""Mistakes are reported before TensorFlow is imported."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kdet.config import LabelMap
from kdet.config.text import to_dict
from kdet.data.convert.synthetic import make_synthetic
from kdet.models import recipe
from kdet.weights.npz import write_npz

ROOT = pathlib.Path(__file__).parents[1]
ROW = "yolov3_r34"
SHAPES = LabelMap(("circle", "square", "triangle", "star"), (1, 2, 3, 4))
# Runs commands, {number: arguments}, and prints {number: [exit code, stderr]}.
ALONE = """
import contextlib, io, json, runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "keras"):
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Refuse())
from kdet import cli
results = []
for words in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            if words[0].endswith(".py"):
                sys.argv = words
                runpy.run_path(words[0], run_name="__main__")
            else:
                code = cli.main(words)
        except SystemExit as end:
            code = end.code
    results.append((code, said.getvalue()))
print(json.dumps(results))
"""
# arguments, exit code, a part of the message; argparse writes the usage first
WRONG = [
    ("zoo yolov3_r33", 1, "kdet zoo: the zoo has no row 'yolov3_r33'; did you mean 'yolov3_r34'?"),
    ("zoo x_of_y_z", 1, "kdet zoo: the zoo has no row 'x_of_y_z'; `kdet zoo` lists the rows"),
    (f"zoo {ROW} --cards", 1, "kdet zoo: --markdown and --cards show all rows"),
    ("train yolov3_r33", 2, "error: the zoo has no row 'yolov3_r33'; did you mean 'yolov3_r34'?"),
    ("train --data records", 2, "error: the name of a row comes first"),
    (f"train {ROW} --data nowhere", 2, "error: nowhere: no such file or folder"),
    (f"train {ROW} --data empty", 2, "error: empty: expected COCO .json files, VOC .xml files"),
    (f"train {ROW} --data half", 2, "train/dataset.json; it holds val"),
    (f"train {ROW} --data cut", 2, ".tfrecord: shard is missing"),
    (f"train {ROW} --init nowhere.npz", 2, "there is no file 'nowhere.npz'"),
    (f"train {ROW} --init empty", 2, "error: empty: expected one tensor per variable; it has none"),
    (f"train {ROW} --out run", 2, "error: run/last.npz exists: add --resume"),
    (f"train {ROW} --out file", 2, "error: --out file: expected a folder, got a file"),
    (f"train {ROW} --out file/run", 2, "error: --out file: expected a folder, got a file"),
    (f"train {ROW} --batch=0", 2, "error: flag --batch=0"),
    (f"train {ROW} --jit=maybe", 2, "error: flag --jit=maybe"),
    (f"train {ROW} --batc=4", 2, "error: Unknown command line flag 'batc'"),
    (f"train {ROW} schedule.bach=4", 2, "did you mean 'batch'?"),
    (f"train {ROW} schedule.batch=much", 2, "needs a value of type int"),
    (f"train {ROW} model.backbone.width=2 --data records", 2, "has no field 'width'"),
    (f"{ROOT}/recipes/{ROW}.py --data nowhere", 2, "error: nowhere: no such file or folder"),
    ("evaluate nowhere.npz", 1, "kdet evaluate: nowhere.npz: no such checkpoint"),
    ("evaluate empty", 1, "kdet evaluate: empty: expected best.npz or last.npz in this folder"),
    ("evaluate file", 1, "kdet evaluate: file: not a checkpoint of kdet"),
    ("evaluate yolov3", 1, "kdet evaluate: the zoo has no row 'yolov3'; did you mean"),
    ("evaluate run --weights=run", 1, "the argument weights is for rows of the zoo"),
    ("evaluate run", 1, "run/last.npz: its data set /gone/records is not there; pass a data set"),
    ("evaluate run --data=records --split=test", 1, "test/dataset.json; it holds train, val"),
    ("evaluate run --data=records --sides=50", 1, "--sides takes multiples of 32"),
    ("evaluate run --data=records --out=file", 1, "--out file: expected a folder, got a file"),
    ("evaluate run --data=records data.flap=1", 1, "did you mean 'flip'?"),
    ("evaluate run --sides=a", 2, "expected whole numbers and commas, got 'a'"),
    ("evaluate run --batch=0", 2, "expected a whole number above 0, got '0'"),
    (f"evaluate {ROW}", 1, f"{ROW}: needs a data set to evaluate; pass --data"),
    (f"evaluate {ROW} --data=records", 1, "detector has 80 classes, the data set 4"),
    (f"detect {ROW} nowhere.jpg", 1, "kdet detect: nowhere.jpg: no such image"),
    (f"detect {ROW} empty", 1, "kdet detect: empty: expected a folder with .jpg"),
    (f"detect {ROW} photo.png --out file", 1, "--out file: expected a folder, got a file"),
    (f"detect {ROW} photo.png --weights=W", 1, "there is no file 'W'"),
    (f"export {ROW} empty", 1, "kdet export: empty: expected a new folder or an earlier"),
    ("export retinanet_r50_fpn_1x new --weights=run", 1, f"run/last.npz: holds '{ROW}', not"),
    (f"export {ROW} new --weights=empty", 1, "empty: expected one tensor per variable"),
    ("plan nowhere", 1, "kdet plan: nowhere: no such folder"),
    ("plan records --row yolov3", 1, "kdet plan: the zoo has no row 'yolov3'; did you mean"),
    ("analyse run", 1, "run/last.npz: its data set /gone/records is not there; pass a data set"),
    ("describe nowhere", 1, "kdet describe: nowhere: no such folder"),
    ("describe records/val --out no/a.png", 1, "--out no/a.png: there is no folder no"),
]
RIGHT = ["zoo", f"zoo {ROW}", "zoo --cards", "zoo --markdown", f"train {ROW} --help", "train -h"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the files that the commands name."""
    desk = tmp_path_factory.mktemp("desk")
    for split in ("train", "val"):
        make_synthetic(desk / "records" / split, 2, 0, (64, 64), masks=False)
    make_synthetic(desk / "half" / "val", 2, 0, (64, 64), masks=False)
    make_synthetic(desk / "cut" / "train", 2, 0, (64, 64), masks=False)
    next((desk / "cut" / "train").glob("*.tfrecord")).unlink()
    (desk / "empty").mkdir()
    (desk / "file").write_text("a note")
    Image.fromarray(np.zeros((9, 9, 3), "uint8")).save(desk / "photo.png")
    meta = {"recipe": to_dict(recipe(ROW)), "labels": to_dict(SHAPES)}
    (desk / "run").mkdir()
    arrays = {"weights/a": np.zeros(1, "float32")}
    write_npz(desk / "run/last.npz", arrays, {**meta, "data_path": "/gone/records"})
    return desk


@pytest.fixture(scope="module")
def results(desk):
    """[exit code, stderr] of every command, from one process."""
    commands = [command.split() for command in [*(wrong[0] for wrong in WRONG), *RIGHT]]
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        input=json.dumps(commands),
        cwd=desk,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[wrong[0] for wrong in WRONG])
def test_a_mistake_is_one_line_without_tensorflow(number, results):
    _, code, said = WRONG[number]
    found, error = results[number]
    lines = error.splitlines()
    assert found == code and said in lines[-1]
    assert len(lines) == 1 or lines[0].startswith("usage: ")


def test_some_commands_need_no_tensorflow(results):
    assert results[len(WRONG) :] == [[0, ""]] * len(RIGHT)
