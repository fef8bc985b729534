"""The part of YAML that data.yaml files use."""

import pytest

from kdet.data.convert.yolo_yaml import read_yaml
from kdet.errors import DataError

NAMES = {
    "flow": ("names: ['cat', \"a dog\", bird's nest]", ["cat", "a dog", "bird's nest"]),
    "flow over lines": ("names: [ cat,  # one\n  'dog, big', # two\n]", ["cat", "dog, big"]),
    "flow below": ("names:\n  [cat, dog]", ["cat", "dog"]),
    "block": (
        "names:\n  - cat\n  - 'it''s #1'  # x\n  - \"a \\\"b\\\"\"",
        ["cat", "it's #1", 'a "b"'],
    ),
    "block, no indent": ("names:\n- cat\n- C#\n", ["cat", "C#"]),
    "table": ("names:\n  0: cat\n  # more\n  1: big, dog\n", {0: "cat", 1: "big, dog"}),
    "flow table": ("names: {0: cat, 5: 'a: b'}", {0: "cat", 5: "a: b"}),
    "words of YAML": ("names: [no, 1, null, 2.5]", ["no", "1", "null", "2.5"]),
    "empty": ("names: []", []),
    "nothing": ("names:", None),
    "null": ("names: null", None),
    "windows": ("names: [cat]\r\nnc: 1\r\n", ["cat"]),
}


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    text, expected = NAMES[name]
    assert read_yaml(text, "data.yaml")["names"] == expected


def test_a_file_as_it_is_published():
    text = """# Ultralytics, AGPL-3.0 license
---
path: ../datasets/coco8 # dataset root dir
train: images/train # train images
val: images/val#1
test: # optional

# Classes
names:
  0: person
  1: 'traffic light'

roboflow:
  workspace: me
  tags: [&a x, {b: c}]
# Download script
download: |
  import os
  names = ['x']: {
"""
    assert read_yaml(text, "") == {
        "path": "../datasets/coco8",
        "train": "images/train",
        "val": "images/val#1",
        "test": None,
        "names": {0: "person", 1: "traffic light"},
    }


REFUSED = {
    "no key": ("nc: 1\nnames [a]", "line 2: expected 'key: value', got 'names [a]'"),
    "starts in the middle": ("  names: [a]", "line 1: expected 'key: value'"),
    "key twice": ("nc: 1\nnc: 2", "line 2: expected each key once, got 'nc' again"),
    "open": ("x: 1\nnames: [a, b", "line 2: expected entries and ']', got ' b'"),
    "closed twice": ("names: [a]]", "line 1: expected ']' as the end"),
    "other bracket": ("names: [a}", "line 1: expected ']' as the end"),
    "nested": ("names: [a, [b]]", "line 1: expected entries and ']', got ' [b]]'"),
    "hole": ("names: [a,, b]", "line 1: expected a value before ',', got nothing"),
    "open quote": ("names: ['a, b]", "line 1: expected entries and ']'"),
    "text after quote": ("names: ['a' b]", "line 1: expected entries and ']'"),
    "mixed": ("names: [a, 1: b]", "got both or the other"),
    "number twice": ("names:\n 1: a\n 1: b", "line 1: expected each number once"),
    "two indents": ("names:\n  - a\n   - b", "line 1: expected lines '- text' or 'number: text'"),
    "table of words": ("names:\n  cat: 0", "line 1: expected lines '- text' or 'number: text'"),
    "block text": ("train: |\n  a", "line 1: expected one value, got more below it: 'a'"),
    "anchor": ("train: &a images", "line 1: expected a text, got '&a images', a form that kdet"),
    "colon": ("names:\n- a: b", "line 1: expected a text, got 'a: b', a form that kdet"),
    "escape": ('train: "a\\q"', "line 1: expected a text in quotes, got"),
    "quote": ("train: 'a' b", "line 1: expected a text, got \"'a' b\""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_one_line(name):
    text, expected = REFUSED[name]
    with pytest.raises(DataError) as caught:
        read_yaml(text, "data.yaml")
    said = str(caught.value)
    assert said.startswith("data.yaml: line ") and expected in said and "\n" not in said
