"""Runs a notebook of docs/notebooks and stores its outputs: python docs/run_notebook.py own_data.

    python docs/run_notebook.py own_data --folder work 'start="trunk.tar"' epochs=2

The settings replace lines of the first code cell for this run. The stored cell is not changed.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).parent / "notebooks"
HOUR = 3600
WIDTH = 1000  # pixels of a stored picture
BAR = re.compile(r"\d+%\|")
NOTICE = re.compile(
    r"WARNING: All log messages before|[IWE]0000 |To enable the following instructions|"
    r"INFO:tensorflow:Assets"
)


def run(book, settings, folder, timeout=2 * HOUR):
    """A copy of a notebook with the outputs of a run.

    Args:
        book: the notebook, of `nbformat.read`.
        settings: {name: Python source}; each replaces the line `name = ...` of the first code cell.
        folder: the folder that the notebook runs in.
        timeout: seconds that one cell may take.
    Raises:
        ValueError: the first code cell has no line for a setting.
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    done = nbformat.from_dict(book)
    first = next(cell for cell in done.cells if cell.cell_type == "code")
    given = first.source
    for name, source in settings.items():
        line = re.compile(rf"^{name} = .*$", re.MULTILINE)
        if not line.search(first.source):
            raise ValueError(f"expected a line `{name} = ...` in the first code cell:\n{given}")
        first.source = line.sub(lambda _, new=f"{name} = {source}": new, first.source)
    options = {"resources": {"metadata": {"path": str(folder)}}, "kernel_name": "python3"}
    NotebookClient(done, timeout=timeout, **options).execute()
    first.source = given
    for cell in done.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            tidy(cell, folder)
    return done


def tidy(cell, folder):
    """Leaves of the outputs of a cell what a reader wants to see.

    The text of each stream becomes one output, with the last state of progress bars, and without
    TensorFlow's start-up messages and personal folders. Pictures become JPEG files.
    """
    texts, others = {}, []
    for out in cell.outputs:
        if out.output_type == "stream":
            texts[out.name] = texts.get(out.name, "") + out.text
        elif "image/png" in out.get("data", {}):
            picture = Image.open(io.BytesIO(base64.b64decode(out.data.pop("image/png"))))
            out.data["image/jpeg"] = _jpeg(picture)
            others.append(out)
        else:
            others.append(out)
    places = {os.environ.get("KDET_HOME", ""): "~/.cache/kdet", str(Path(folder).resolve()): "."}
    places[str(Path.home())] = "~"
    streams = []
    for name, text in texts.items():
        lines = [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
        bars = [line for line in lines if BAR.search(line)]
        lines = [line for line in lines if line and not NOTICE.match(line)]
        lines = [line for line in lines if line not in bars[:-1] or line == bars[-1]]
        shown = "\n".join(dict.fromkeys(lines))
        for place, short in places.items():
            shown = shown.replace(place, short) if place else shown
        if shown:
            streams.append(nbformat.v4.new_output("stream", name=name, text=shown + "\n"))
    cell.outputs = streams + others


def _jpeg(picture):
    picture = picture.convert("RGB")
    picture.thumbnail((WIDTH, 10 * WIDTH))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a notebook of docs/notebooks, without .ipynb")
    parser.add_argument("settings", nargs="*", help="NAME=SOURCE, lines of the first code cell")
    parser.add_argument("--folder", default=".", help="folder that the notebook runs in")
    flags = parser.parse_intermixed_args()
    path = NOTEBOOKS / f"{flags.name}.ipynb"
    settings = dict(setting.split("=", 1) for setting in flags.settings)
    done = run(nbformat.read(path, 4), settings, flags.folder)
    nbformat.write(done, path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
