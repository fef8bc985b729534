"""Who may import whom, and what `import kdet` costs."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MAY_IMPORT = {
    "errors": "",
    "files": "errors",
    "startup": "",
    "interop": "",
    "lazy": "",
    "config": "errors",
    "masks": "",
    "draw": "",
    "detections": "config draw masks",
    "ops": "lazy",
    "layers": "ops",
    "backbones": "config layers lazy",
    "weights": "config errors files",
    "data": "config draw errors files lazy masks",
    "predict": "data detections errors evaluate files masks",
    "evaluate": "config data detections errors files lazy masks",
    "serving": "config data errors files ops predict weights",
    # train is imported by `Detector.fit` only
    "models": "backbones config data errors evaluate layers ops predict serving train weights",
    "zoo": "config models weights",
    "train": "analyse config data draw errors evaluate files masks models serving startup weights",
    "analyse": "config data draw errors evaluate files lazy",
    "cli": "analyse config data errors evaluate files models predict serving startup train weights "
    "zoo",
    "__main__": "cli",
}
BACKEND_FREE = ("ops", "layers", "backbones", "models", "config", "weights")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            if node.module == "kdet":
                yield from (f"kdet.{alias.name}" for alias in node.names)


def files(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def room(path):
    return path.relative_to(ROOT / "kdet").with_suffix("").parts[0]


def test_imports_point_down():
    for path in files("kdet"):
        me = room(path)
        if me == "__init__":
            continue
        rooms = {name.split(".")[1] for name in imported(path) if name.startswith("kdet.")}
        bad = rooms - {me, *MAY_IMPORT[me].split()}
        assert not bad, f"{path.name} in {me} may not import {sorted(bad)}"


def test_the_core_never_imports_tensorflow():
    for path in files("kdet"):
        if room(path) in BACKEND_FREE and path.name not in ("tf_kernels.py", "tf_layers.py"):
            names = {name.split(".")[0] for name in imported(path)}
            assert not names & {"tensorflow", "jax", "torch"}, path


def test_recipes_import_config_only():
    for path in files("recipes"):
        top = {n for n in imported(path) if n.startswith("kdet")}
        assert top <= {"kdet.config", "kdet.train"}, path
        assert len(path.read_text().splitlines()) <= 20, path


def test_nothing_here_builds_on_dead_or_foreign_packages():
    for folder in ("kdet", "recipes", "tfrecords_tools"):
        for path in files(folder):
            names = {name.split(".")[0] for name in imported(path)}
            assert not names & {"tensorflow_addons", "tf_keras", "object_detection", "cv2"}, path


@pytest.mark.parametrize("line", ["import kdet", "import kdet.config", "import kdet.config.text"])
def test_import_is_light(line):
    code = f"import sys; {line}; print([m for m in sys.modules if m in ('tensorflow', 'keras')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("folder", ["kdet", "recipes", "tfrecords_tools", "benchmarks"])
def test_files_stay_small(folder):
    for path in files(folder):
        assert len(path.read_text("utf-8").splitlines()) <= 260, path
