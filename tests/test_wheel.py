"""The wheel, installed without the checkout, can do everything that a clone can."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile

import documents
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SOURCE = ("kdet", "recipes", "tfrecords_tools", "tests/support", "docs/images")
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
ROW = "ssd_mobilenet_v1_voc"


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """(sources, wheel, sdist), built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("packages")
    for name in SOURCE:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "copy" / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder / "copy" / name)
    fonts = folder / "copy" / "kdet" / "draw" / "fonts"
    fonts.mkdir(exist_ok=True)
    (fonts / "stand-in.ttf").write_bytes(b"data of the package")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    check([sys.executable, "-m", "pip", "wheel", *offline, "-w", folder, folder / "copy"])
    backend = "from setuptools import build_meta; build_meta.build_sdist('..')"
    check([sys.executable, "-c", backend], folder / "copy")
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return folder / "copy", wheel, sdist


@pytest.fixture(scope="module")
def installed(packages, tmp_path_factory):
    """The programs of an environment that has the wheel, and everything but kdet from this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", symlinks=True)
    programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    ask = [programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = pathlib.Path(check(ask).strip())
    # a line of a .pth file is a folder; the .pth files in there, an editable kdet's, do not count
    here = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site / "dependencies.pth").write_text("\n".join(here))
    pip = [sys.executable, "-m", "pip", "--python", programs / "python"]
    check([*pip, "install", "--no-deps", "--no-index", "--quiet", packages[1]])
    return programs


def check(words, folder=None):
    """What a program says; it must succeed. Neither the checkout nor its settings are in sight."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "KDET_HOME", "KDET_MIRROR")
    env = {k: v for k, v in os.environ.items() if k not in hidden}
    done = subprocess.run(
        [str(w) for w in words], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def names_in(sources):
    """Names in the wheel of all files of the package and of the recipes."""
    files = [p for p in (sources / "kdet").rglob("*") if p.is_file()]
    names = {str(p.relative_to(sources)) for p in files if not {"__pycache__"} & set(p.parts)}
    return names | {f"kdet/recipes/{p.name}" for p in (sources / "recipes").glob("*.py")}


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(packages):
    sources, wheel, _ = packages
    names = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == names_in(sources)
    assert {f"kdet/recipes/{ROW}.py", "kdet/draw/fonts/stand-in.ttf"} < names
    assert any(name.endswith("/LICENSE") for name in about)


def test_the_source_archive_has_all_that_the_wheel_is_made_of(packages):
    sources, _, sdist = packages
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {name.replace("kdet/recipes/", "recipes/") for name in names_in(sources)}
    assert {*needed, *FILES} <= names


def test_the_metadata(installed, tmp_path):
    # line by line: Python 3.13.0 cannot print a message whose description has several lines
    code = "from importlib.metadata import metadata\n"
    code += "for item in metadata('kdet').items(): print(*item, sep=': ')"
    said = check([installed / "python", "-c", code], tmp_path)
    for extra in ("cuda", "keras-cv", "test", "dev"):
        assert f"Provides-Extra: {extra}\n" in said
    assert "Name: kdet\n" in said and ">=3.10" in said
    assert "# kdet" in said  # the README


IN_PYTHON = """
import pathlib, sys
import kdet
from kdet import cli, models
from kdet.config import rows
for module in (kdet, cli, models):
    assert pathlib.Path(module.__file__).is_relative_to(sys.prefix), module.__file__
assert not any("tests" in entry or entry == sys.argv[1] for entry in sys.path)
assert pathlib.Path(rows._folder()).is_relative_to(sys.prefix)
for words in (
    "convert voc --devkit cells --list cells/ImageSets/Main/train.txt --out records/train",
    "convert voc --devkit cells --list cells/ImageSets/Main/test.txt --out records/val",
    "convert coco --annotations instances_train.json --images images --out records/coco",
    "describe records/coco --out sheet.png",
    "train ROW --data records --out run --init none --stop_after=1 --batch=2 --eval_every=0",
    "evaluate run",
    "analyse run",
    "export run served",
    "detect run photos street.jpg --out found",
):
    assert cli.main(words.split()) == 0, words
"""


def test_an_installed_kdet_does_everything(installed, tmp_path):
    """Conversion, training, evaluation, export and detection, far away from the checkout."""
    documents.stand_ins(tmp_path)
    rows = check([installed / "kdet", "zoo"], tmp_path).splitlines()
    assert len(rows) == len(list((ROOT / "recipes").glob("*.py"))) >= 26
    code = IN_PYTHON.replace("ROW", ROW)
    said = check([installed / "python", "-c", code, ROOT], tmp_path)
    assert "(11-point, IoU 0.5)" in said and "3 pictures and detections.json in found" in said
    for name in ("run/saved_model", "served"):
        assert (tmp_path / name / "saved_model.pb").is_file()
    assert (tmp_path / "run" / "analysis" / "report.html").is_file()
    assert (tmp_path / "run" / "metrics.json").is_file() and (tmp_path / "sheet.png").is_file()
