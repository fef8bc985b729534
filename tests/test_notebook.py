"""The notebooks run from fresh processes and show their pictures."""

import base64
import importlib.util
import io
import pathlib

import documents
import numpy as np
import published
import pytest
from PIL import Image

from kdet.weights import paddle

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "notebooks"
ROW = "ssd_mobilenet_v1_voc"


@pytest.fixture
def weights(tmp_path):
    """Small deterministic ones; the coarsest map sees a person everywhere."""
    arrays = {name: published.values(name, s) for name, s in published.tensors(ROW).items()}
    arrays["conv2d_33.b_0"] = np.tile(5.0 * (np.arange(21) == 15), 6).astype("float32")
    paddle.write(tmp_path / ROW, arrays.items())
    return tmp_path / ROW


def test_it_runs_and_shows_the_picture(weights, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("KDET_WEIGHTS", str(weights))
    book = nbformat.read(FOLDER / "ssd.ipynb", 4)
    nbformat.validate(book)
    assert not any(cell.get("outputs") for cell in book.cells)
    nbclient.NotebookClient(book, timeout=200, resources={"metadata": {"path": FOLDER}}).execute()
    load, draw, rows = (cell.outputs for cell in book.cells if cell.cell_type == "code")
    assert "20 classes: aeroplane, bicycle" in "".join(out.get("text", "") for out in load)
    (picture,) = (out["data"]["image/png"] for out in draw if "data" in out)
    with Image.open(io.BytesIO(base64.b64decode(picture))) as shown:
        with Image.open(FOLDER.parent / "images" / "demo.png") as given:
            assert shown.size[0] >= given.size[0] // 2
            same = shown.size == given.size
            changed = not same or np.any(np.array(shown.convert("RGB")) != given.convert("RGB"))
    assert changed
    assert rows[0]["text"].startswith("person 0.8")


spec = importlib.util.spec_from_file_location("run_notebook", FOLDER.parent / "run_notebook.py")
run_notebook = importlib.util.module_from_spec(spec)


@pytest.fixture
def photos(tmp_path):
    """Four drawn images with annotations in the form of VOC."""
    folder = tmp_path / "photos"
    documents.voc_part(folder, "JPEGImages", "Annotations", "a", ("bus", "sign", "tree"), 0)
    return folder


@pytest.mark.parametrize("name", ["own_data", "fine_tune"])
def test_a_training_notebook_runs(name, photos, weights, tmp_path, monkeypatch):
    """Every cell, with few photos, one epoch and small images; the stored outputs have pictures."""
    for package in ("nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(package)
    spec.loader.exec_module(run_notebook)
    book = run_notebook.nbformat.read(FOLDER / f"{name}.ipynb", 4)
    run_notebook.nbformat.validate(book)
    pictures = [len(pictures_of(cell)) for cell in book.cells if cell.cell_type == "code"]
    assert sum(pictures) >= 5
    monkeypatch.setenv("KDET_HOME", str(tmp_path / "home"))
    settings = {"photos": repr(str(photos)), "epochs": "1"}
    settings |= {"start": repr("none")} if name == "own_data" else {"weights": repr(str(weights))}
    done = run_notebook.run(book, settings, tmp_path, timeout=300)
    cells = [cell for cell in done.cells if cell.cell_type == "code"]
    assert [len(pictures_of(cell)) for cell in cells] == pictures
    assert [cell.source for cell in cells] == [
        cell.source for cell in book.cells if cell.cell_type == "code"
    ]
    assert not any(str(tmp_path) in str(cell.outputs) for cell in cells)


def pictures_of(cell):
    return [out for out in cell.outputs if "image/jpeg" in out.get("data", {})]
