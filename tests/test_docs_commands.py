"""Every command of the README and of docs/ runs, with small stand-ins for the data.

Blocks of shell and of Python are run as they stand, page by page, in a folder of their own; a
mirror on this disk has the published files. Training commands are parsed as they stand, too, and
then run with SHORT and SMALL appended. Commands that a test cannot run are checked for their form
(FORM says why), and so are all commands between single backquotes.
"""

import ast
import functools
import json
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
from unittest import mock

import documents
import pytest
import small_rcnn
from documents import PAGES, PYTHON, ROOT, SHELL

import kdet.cli
from kdet import models
from kdet.backbones import resnet
from kdet.train import cli
from kdet.train import run as session

# Programs and scripts that are only checked for their form, and why.
FORM = {
    "pip": "needs the network, and would change this environment",
    "make": "installs kdet and trains for minutes, or runs all tests",
    "tensorboard": "is a server, and no dependency of kdet",
    "-m pytest": "runs tests",
    "benchmarks/": "need minutes and a Python with torch, or redraw pictures of docs/",
    "tests/soak/": "kills and damages for many minutes",
    "examples/": "is a server that runs until it is stopped; a test of its own asks it",
    "docs/": "write pages of docs/, which tests of their own compare",
}
# Appended to every training command: two small steps, without evaluation. The export at the end is
# left out; a recipe and the Python part of the README export for real.
SHORT = ["--stop_after=2", "--batch=2", "--eval_every=0"]
# Appended as well, by the start of the row's name: a canvas and a network of test size.
CANVAS = ["data.short_side=64", "data.long_side=64"]
SMALL = {
    "ssd": [],
    "yolov3": CANVAS,
    "retinanet": [
        *(*CANVAS, "data.canvases=((128,128),)"),
        *("model.width=16", "model.depth=1", "model.pre_nms_top_n_per_level=50"),
    ],
    ("faster_rcnn", "mask_rcnn", "cascade_rcnn"): [
        *(*CANVAS, "data.canvases=((64,64),)"),
        *("model.width=16", "model.head_width=16", "model.roi_batch_size=16"),
        *(f"model.rpn_{a}_nms_top_n_{b}=50" for a in ("pre", "post") for b in ("train", "test")),
    ],
}
ROW = "ssd_mobilenet_v1_voc"  # stands for the word ROW


@pytest.fixture(scope="session")
def mirror(tmp_path_factory):
    """The folder of published files; all pages share it and the cache."""
    folder = tmp_path_factory.mktemp("mirror")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDET_MIRROR", str(folder))
        patch.setenv("KDET_HOME", str(tmp_path_factory.mktemp("home")))
        yield folder


@pytest.fixture
def desk(tmp_path, mirror, monkeypatch):
    """A folder with the stand-ins, to run the commands of one page in."""
    documents.stand_ins(tmp_path / "desk")
    monkeypatch.chdir(tmp_path / "desk")
    return tmp_path / "desk"


def page(name):
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("name", [p for p in PAGES if documents.blocks(page(p))])
def test_the_blocks_run(name, desk, tmp_path, mirror, monkeypatch):
    if name == "docs/deploy.md":
        pytest.importorskip("ai_edge_litert")
    for depth, blocks in small_rcnn.BLOCKS.items():
        monkeypatch.setitem(resnet.BLOCKS, depth, blocks)
    names = {}
    for block in documents.blocks(page(name)):
        where = f"{name}:{block.line}"
        if block.language in SHELL:
            for folder, words in documents.shell_commands(block.text, desk, tmp_path / "tools"):
                monkeypatch.chdir(folder)
                run(words, where, mirror)
            monkeypatch.chdir(desk)
        elif block.language in PYTHON:
            for row in re.findall(r'kdet\.load\("(\w+)"', block.text):
                documents.publish(mirror, row, "released")
            short = re.sub(r"epochs=\d+", "epochs=1, eval_every=0", block.text)
            with mock.patch.object(session, "export", lambda detector, folder: folder):
                exec(compile(short, where, "exec"), names)
        else:
            assert block.language in documents.OTHER, f"{where}: unknown language"
            starts = {line.strip("$ ").split(" ")[0] for line in block.text.splitlines()}
            assert not starts & set(documents.PROGRAMS), f"{where}: commands need the language bash"


def test_a_card_of_the_zoo_runs(desk, tmp_path, mirror):
    """The conversions above the cards, then the evaluation of one card."""
    text = documents.blocks(page("docs/zoo.md"))[0].text
    for _, words in documents.shell_commands(text, desk, tmp_path / "tools"):
        run(words, "docs/zoo.md", mirror)
    card = [words for words in documents.inline(page("docs/zoo.md")) if ROW in words]
    assert [words[1] for words in card] == ["evaluate", "detect", "train"]
    run(card[0], "docs/zoo.md", mirror)


def test_each_door_opens(desk, mirror):
    """The tools in this process; a recipe, `python -m kdet` and the script in their own."""
    documents.publish(mirror, ROW, "imagenet")
    coco = ["--annotations=coco/annotations/instances_train2017.json", "--images=coco/train2017"]
    voc = ["--devkit=cells", "--list=cells/ImageSets/Main/train.txt"]
    tools = {"from_coco": [*coco, "--out=data"], "from_voc": [*voc, "--out=cells_data"]}
    for name, arguments in {**tools, "describe": ["data", "--out=sheet.png"]}.items():
        with mock.patch.object(sys, "argv", [name, *arguments]), pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "tfrecords_tools" / f"{name}.py"), run_name="__main__")
        assert end.value.code == 0
    recipe = [ROOT / "recipes" / f"{ROW}.py", "--data=data", "--out=run", *SHORT]
    jobs = [
        subprocess.Popen(list(map(str, words)), stdout=-1, stderr=-1, text=True)
        for words in (
            [sys.executable, *recipe],
            [sys.executable, "-m", "kdet", "zoo", ROW],
            [pathlib.Path(sys.executable).with_name("kdet"), "--help"],
        )
    ]
    said = [job.communicate(timeout=200) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0], said
    (_, trained), (shown, _), (helped, _) = said
    assert "135 variables loaded" in trained and pathlib.Path("run/saved_model").is_dir()
    assert f"kdet train {ROW} --data records" in shown and "kdet COMMAND --help" in helped


def run(words, where, mirror):
    """Runs one command, or checks its form where FORM has its program."""
    if (arguments := documents.as_kdet(words)) is None:
        return check_form(words, where)
    command, *rest = arguments
    if command == "convert" and "--out" in rest:
        # where a page shows two ways to make the same folder, the second one starts afresh
        shutil.rmtree(rest[rest.index("--out") + 1], ignore_errors=True)
    elif command != "train" and rest and rest[0] in models.names() and "--weights" not in rest:
        documents.publish(mirror, rest[0], "released")
    code = train(rest, where, mirror) if command == "train" else kdet.cli.main(arguments)
    assert code == 0, f"{where}: {' '.join(words)}"
    check_results(command, rest, where)


def train(arguments, where, mirror):
    """A training command: parsed as it stands, run with SHORT and SMALL appended."""
    row, *rest = arguments
    options = check_training(row, rest, where)
    if options.init in ("imagenet", "released"):
        documents.publish(mirror, row, options.init)
    more = SHORT + next(small for start, small in SMALL.items() if row.startswith(start))
    assert cli.parse(row, rest + more).overrides[: len(options.overrides)] == options.overrides
    with mock.patch.object(session, "export", lambda detector, folder: folder):
        return kdet.cli.main(["train", *arguments, *more])


def check_training(row, arguments, where):
    """The command's own arguments arrive in the options and in the recipe; returns the options."""
    options = cli.parse(row, arguments)
    settings = [word for word in arguments if re.match(r"[a-z_.]+=", word)]
    assert list(options.overrides) == settings, where
    for flag, value in zip(arguments, arguments[1:]):
        if flag.startswith("--no") and hasattr(options, flag[4:]):
            assert getattr(options, flag[4:]) is False, f"{where}: {flag}"
        elif flag.startswith("--") and "=" not in flag:
            assert str(getattr(options, flag[2:])) == value, f"{where}: {flag}"
    recipe = cli.resolve(models.recipe(row), options)
    for setting in settings:
        key, _, text = setting.partition("=")
        value = functools.reduce(getattr, key.split("."), recipe)
        assert value == (text if isinstance(value, str) else ast.literal_eval(text)), setting
    return options


def check_results(command, words, where):
    """The files that a command promises are there."""
    out = pathlib.Path(words[words.index("--out") + 1]) if "--out" in words else None
    run_folder = pathlib.Path("runs" * (words[0] in models.names()), words[0])
    if command == "convert":
        out = out / "train" if "--split" in words else out
        data, report = (json.loads((out / f"{n}.json").read_text()) for n in ("dataset", "report"))
        assert data["objects"] >= len(data["labels"]["names"]) and not report["problems"], where
    elif command == "train":
        assert ((out or run_folder) / "last.npz").is_file(), where
    elif command == "evaluate":
        assert list(pathlib.Path(out or run_folder).glob("metrics*.json")), where
    elif command == "analyse":
        assert ((out or run_folder) / "analysis" / "report.html").is_file(), where
    elif command == "detect":
        assert ((out or pathlib.Path("detections")) / "detections.json").is_file(), where


@pytest.mark.parametrize("name", PAGES)
def test_commands_in_the_text_have_the_right_form(name):
    for words in documents.inline(page(name)):
        check_form(words, name)


def test_the_examples_of_the_help_text_have_the_right_form():
    examples = re.findall(r"^  (kdet .*?)(?:   .*)?$", kdet.cli.HELP, re.MULTILINE)
    assert len(examples) == 3
    for line in examples:
        check_form(line.split(), "kdet --help")


def test_what_pip_is_told_exists(monkeypatch):
    monkeypatch.chdir(ROOT)
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path("setup.py")
    extras = set(setup.call_args.kwargs["extras_require"])
    for name in PAGES:
        named = re.findall(r"(?:kdet|\.)\[([a-z,-]+)\](?!\()", page(name))
        assert {extra for each in named for extra in each.split(",")} <= extras, name
        # "kdet[cuda] @ ." is no requirement: after the @, pip needs an address
        assert not re.search(r"kdet(\[[\w,-]+\])? @ (?!\w+:)", page(name)), name


@pytest.mark.parametrize(
    "text", ["curl a.tar", "kdet tran x", "python a.py", "make dem", "python recipes/row.py"]
)
def test_unknown_commands_fail(text, tmp_path):
    with pytest.raises(AssertionError):
        for _, words in documents.shell_commands(text, tmp_path, tmp_path / "tools"):
            run(words, "here", None)


def check_form(words, where):
    """A command that is not run would be accepted: its files, targets, flags and names exist."""
    words = [word.replace("ROW", ROW) for word in words]
    program, *rest = words
    arguments = documents.as_kdet(words)
    if arguments is not None:
        check_kdet(arguments, where)
    elif program == "pip":  # an editable install of this folder; its extras are checked above
        assert re.fullmatch(r"install -e \.(\[[a-z,-]+\])?", " ".join(rest)), where
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", page("Makefile"), re.MULTILINE)
        assert set(rest) <= set(targets), f"{where}: make {rest}"
    elif program == "tensorboard":
        assert re.fullmatch(r"--logdir \S+/tensorboard", " ".join(rest)), where
    else:
        assert " ".join(rest).startswith(tuple(FORM)), f"this test does not know {words}"
        path = ROOT / rest[2 if rest[0] == "-m" else 0]
        assert path.exists(), f"{where}: {path} is not there"
        flags = {f'"{word}"' for word in rest if word.startswith("--")}
        assert all(flag in path.read_text("utf-8") for flag in flags), f"{where}: {flags}"


def check_kdet(words, where):
    """The command's parser takes the arguments; of a name alone (`kdet convert voc`), it exists."""
    command, *rest = words
    assert command in kdet.cli.COMMANDS, f"{where}: kdet {command}"
    if command == "train" and rest:
        check_training(rest[0], rest[1:], where)
    elif rest:
        more = ["--out=OUT"] if command == "convert" and len(rest) == 1 else []
        run = mock.patch(f"kdet.cli.{command}.run", return_value=0)
        with run, mock.patch("kdet.cli._checked", return_value=None):  # the files need not exist
            assert kdet.cli.main([*words, *more]) == 0, f"{where}: {words}"
