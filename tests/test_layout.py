"""How large the package may be, and that families are named where they live only."""

import ast
import pathlib
import re

import pytest

from kdet.models import names as row_names
from kdet.models.families import FAMILIES

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted((ROOT / "kdet").rglob("*.py"))
FUNCTION, PACKAGE, SSD_FILES = 50, 19_850, 9  # lines, lines that are not blank, files

# a room below kdet/models, a config of the same name, and the two lists of all families
ROOMS = sorted(family.network.__module__.split(".")[2] for family in FAMILIES)
AT_HOME = re.compile(
    rf"kdet/(models/({'|'.join(ROOMS)})/.*|config/({'|'.join(ROOMS)})\.py"
    r"|models/families\.py|config/__init__\.py)"
)
NAMED = re.compile("|".join(room.rstrip("0123456789v") for room in ROOMS), re.IGNORECASE)
# layers of the reference's DarkNet, whose checkpoints have these names
EXEMPT = {("kdet/backbones/darknet.py", "yolo_input"),
          ("kdet/backbones/darknet.py", "yolo_input.downsample")}  # fmt: skip
# YOLO is also a form of annotations, which every family can use
FORM = re.compile(r"(.*[._])?yolo(_files|_yaml)?|YoloFiles")


def place(path):
    return path.relative_to(ROOT).as_posix()


def parsed(path):
    return ast.parse(path.read_text("utf-8"))


def test_functions_stay_short():
    """Docstring included, decorators not."""
    long = [
        f"{place(path)}: {node.name} has {length} lines"
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (length := node.end_lineno - node.lineno + 1) > FUNCTION
    ]
    assert not long, f"more than {FUNCTION} lines:\n" + "\n".join(long)


def test_the_package_stays_small():
    lines = [line for path in FILES for line in path.read_text("utf-8").splitlines()]
    filled = sum(bool(line.strip()) for line in lines)
    assert filled <= PACKAGE, f"{filled} lines that are not blank, {len(lines)} in all"


def docstrings(tree):
    """The constants that are docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            yield node.body[0].value


def words_of_code(tree):
    """(line, text) of every name, and of every string without blanks that is no docstring.

    Strings with blanks are sentences: messages and help texts, which may name a row as an example.
    """
    prose = set(map(id, docstrings(tree)))
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname", "module"):
            if isinstance(text := getattr(node, field, None), str):
                yield getattr(node, "lineno", 0), text
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            if not re.search(r"\s", node.value):
                yield node.lineno, node.value


def families_named(path):
    """Words of a file that name a family; names of rows are data of the zoo."""
    rows = set(row_names())
    for line, text in words_of_code(parsed(path)):
        known = text in rows or FORM.fullmatch(text) or (place(path), text) in EXEMPT
        if NAMED.search(text) and not known:
            yield f"{place(path)}:{line}: {text}"


def test_families_are_named_at_home_only():
    strangers = [path for path in FILES if not AT_HOME.fullmatch(place(path))]
    assert len(FILES) - len(strangers) > 4 * len(ROOMS)
    named = [word for path in strangers for word in families_named(path)]
    assert not named, "these name a family:\n" + "\n".join(named)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from kdet.models import ssd", ["ssd"]),
        ("if isinstance(config, kdet.config.YOLOv3): pass", ["YOLOv3"]),
        ("def f(rcnn=1):\n    '''An SSD.'''", ["rcnn"]),
        ("table = {'RetinaNet': 1}  # like SSD", ["RetinaNet"]),
        ("say('kdet zoo yolov3_darknet')", []),
    ],
)
def test_what_counts_as_code(code, found):
    words = [text for _, text in words_of_code(ast.parse(code)) if NAMED.search(text)]
    assert words == found


def test_ssd_is_in_few_files():
    """In any form, comments included: an author of another family never meets it."""
    named = [place(path) for path in FILES if "ssd" in path.read_text("utf-8").lower()]
    assert len(named) <= SSD_FILES, "\n".join(named)
