"""Runs a notebook of docs/notebooks and stores its outputs: python docs/run_notebook.py own_data.

    python docs/run_notebook.py own_data --folder work 'start="trunk.tar"' epochs=2

The settings replace lines of the first code cell for this run. The stored cell is not changed.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent / "notebooks"
HOUR = 3600


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
            cell.outputs = [_tidy(out) for out in cell.outputs]
    return done


def _tidy(out):
    """An output as a reader sees it: the last state of progress bars, and no personal folder."""
    if out.output_type == "stream":
        shown = (line.rpartition("\r")[2] for line in out.text.split("\n"))
        out.text = "\n".join(shown).replace(str(Path.home()), "~")
    return out


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
