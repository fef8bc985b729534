"""docs/api.md is what the docstrings say, and every public name has one."""

import importlib
import importlib.util
import inspect
import pathlib
import re
import subprocess
import sys

import pytest

DOCS = pathlib.Path(__file__).parents[1] / "docs"
spec = importlib.util.spec_from_file_location("make_api", DOCS / "make_api.py")
make_api = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_api)
PACKAGES = [name for name in make_api.PACKAGES if name != "kdet.errors"]  # that one is a module
EAGER = ("kdet.models", "kdet.layers")  # these cannot be had without Keras


def test_the_page_is_current():
    said = "docs/api.md is out of date: python docs/make_api.py"
    assert make_api.PAGE.read_text("utf-8") == make_api.page(), said


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists_and_is_described(package):
    module = importlib.import_module(package)
    assert sorted(set(module.__all__)) == sorted(module.__all__) and module.__doc__
    for name in make_api.public(module):
        value = getattr(module, name)
        if inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value):
            doc = value.__doc__ or ""
            assert doc.strip() and not doc.startswith(f"{name}("), f"{package}.{name}"
        else:
            assert make_api.assignment(module, name)


def test_packages_do_not_load_tensorflow_for_their_names():
    light = [name for name in PACKAGES if name not in EAGER]
    code = (
        f"import importlib, sys\nfor name in {light}: dir(importlib.import_module(name))\n"
        "print([m for m in sys.modules if m in ('tensorflow', 'keras')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_links_lead_to_headings():
    """GitHub's rule: lower case, no punctuation but hyphens and underscores."""
    page = make_api.PAGE.read_text("utf-8")
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.M)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(anchors) == len(set(anchors)) > 150
    links = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert len(links) > 80 and links <= set(anchors)


def test_a_docstring_as_markdown():
    doc = """Moves boxes.

    Two words: a * b < c, and `a * b`.

    Args:
        boxes: (B, N, 4) float32,
            in pixels.
        low, high: limits [0, 1].
    Returns:
        {"boxes": (B, N, 4),
        "valid": (B, N)}.
    Raises:
        tf.errors.OpError: never.
    Kept as it is.
    """
    assert make_api.markdown(doc) == (
        "Moves boxes.\n\n"
        r"Two words: a \* b \< c, and `a * b`." "\n\n"
        "**Args:**\n\n- `boxes`: (B, N, 4) float32, in pixels.\n"
        r"- `low, high`: limits \[0, 1\]." "\n\n"
        '**Returns:** {"boxes": (B, N, 4), "valid": (B, N)}.\n\n'
        "**Raises:**\n\n- `tf.errors.OpError`: never.\n\n"
        "Kept as it is.\n"
    )  # fmt: skip


def test_a_call_as_it_is_written():
    def call(self, a, b: int | None = None, *rest, c="x", **more) -> dict[str, int]:
        pass

    text = make_api.signature(call, "call")
    assert text == 'call(a, b: int | None = None, *rest, c="x", **more) -> dict[str, int]'


def test_fields_of_a_config():
    from kdet.config import RCNN, LabelMap

    table = make_api.fields_table(RCNN).splitlines()
    assert table[2] == "| `backbone` | `ResNet` | `R50` |  |"
    assert "| `num_classes` | `int` | `80` | without background |" in table
    heading = table.index("| | | | *region proposal network* |")
    assert table[heading + 1].startswith("| `anchor_scale` | `float` | `1.0` | factor of")
    assert (
        make_api.fields_table(LabelMap).splitlines()[2] == "| `names` | `tuple[str, ...]` |  |  |"
    )
