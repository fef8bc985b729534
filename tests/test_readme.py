"""The README says what is true."""

import pathlib
import re

from kdet.zoo.cards import table

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_zoo_table_is_the_recipes():
    start, end = "<!-- zoo: made by `kdet zoo --markdown` -->\n", "\n<!-- /zoo -->"
    assert README[README.index(start) + len(start) : README.index(end)] == table()


def test_every_file_it_names_exists():
    named = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    named += re.findall(r"(?:recipes|tfrecords_tools|docs)/\w+\.(?:py|md)", README)
    missing = [name for name in named if not (ROOT / name).exists()]
    assert len(named) > 5 and not missing


def test_every_dependency_has_its_reason():
    setup = (ROOT / "setup.py").read_text("utf-8")
    table = README[README.index("## Dependencies") :]
    for name in re.findall(r'"([a-z-]+)(?:\[[a-z-]+\])?[><=]', setup):
        assert name in table, name
