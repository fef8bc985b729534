"""The notebook runs from a fresh process and shows the picture."""

import base64
import io
import pathlib

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
