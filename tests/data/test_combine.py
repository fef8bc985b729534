"""Merging, renaming, selecting, dropping and splitting sources, before images are opened."""

import json
import random
from dataclasses import replace

import folders
import pytest

from kdet.cli import main
from kdet.config import LabelMap
from kdet.data.convert.coco import convert_coco
from kdet.data.convert.combine import Choices, combine, paired
from kdet.data.convert.example_proto import Object
from kdet.data.convert.images import prepare
from kdet.data.convert.source import Item, Source
from kdet.errors import ConfigError, DataError


def source(images, names=("a", "b", "c"), ids=None, kind="x.json"):
    """A source from {image name: labels of its objects}; ids count from 1."""
    items, count = [], 0
    for number, (name, labels) in enumerate(images.items(), 1):
        objects = [Object(count + k, label, (0, 0, 5, 5), 25) for k, label in enumerate(labels, 1)]
        count += len(labels)
        items.append(Item(number, name, f"{kind}/{name}", 20, 30, tuple(objects)))
    labels = LabelMap(tuple(names), tuple(ids or range(1, len(names) + 1)))
    return Source("coco", kind, f"digest of {kind}", labels, items, annotated=count)


def classes(part):
    """{image name: names of its objects' classes}."""
    return {i.name: [part.labels.names[o.label] for o in i.objects] for i in part.items}


def one(sources, **choices):
    return combine({None: sources}, Choices(**choices))[None]


def test_one_source_without_choices_stays_as_it_is():
    given = source({"1.jpg": [0]})
    assert one([given]) is given


def test_sources_are_joined_by_class_names():
    first = source({"1.jpg": [0, 1], "2.jpg": []}, ("cat", "dog"), (9, 2), "a.json")
    second = source({"1.jpg": [0], "3.jpg": [1]}, ("cow", "cat"), kind="b.json")
    merged = one([first, second])
    assert classes(merged) == {
        **{"1.jpg": ["cat", "dog"], "2.jpg": []},
        **{"2/1.jpg": ["cow"], "3.jpg": ["cat"]},
    }
    assert merged.labels == LabelMap(("cat", "dog", "cow"), (1, 2, 3))
    assert [i.id for i in merged.items] == [1, 2, 3, 4]
    assert [o.id for i in merged.items for o in i.objects] == [1, 2, 3, 4]
    assert [i.path for i in merged.items][2:] == ["b.json/1.jpg", "b.json/3.jpg"]
    assert merged.annotations == "a.json, b.json" and merged.annotated == 4
    assert sorted(merged.notes.values()) == [1, 2]  # a name, two ids
    same = one([first, source({"1.jpg": [1]}, ("cat", "dog"), (9, 2), "c.json")])
    assert same.labels.ids == (9, 2)  # equal label maps keep their ids


def test_ids_that_are_free_stay():
    first, second = source({"1.jpg": [0]}), source({"2.jpg": [0], "3.jpg": []}, kind="b")
    second.items[:] = [replace(second.items[0], id=1), replace(second.items[1], id=7)]
    assert [i.id for i in one([first, second]).items] == [1, 2, 7]


def test_classes_are_renamed_joined_selected_and_ordered():
    given = source({"1.jpg": [0, 1, 2], "2.jpg": [2]}, ("cat", "kitten", "dog"), (5, 6, 7))
    joined = one([given], rename={"kitten": "cat"})
    assert joined.labels == LabelMap(("cat", "dog"), (5, 7))
    assert classes(joined) == {"1.jpg": ["cat", "cat", "dog"], "2.jpg": ["dog"]}
    swapped = one([given], rename={"cat": "dog", "dog": "cat"})
    assert classes(swapped)["1.jpg"] == ["dog", "kitten", "cat"]
    chosen = one([given], rename={"kitten": "young"}, only=["young", "cat"])
    assert chosen.labels == LabelMap(("young", "cat"), (6, 5))
    assert classes(chosen) == {"1.jpg": ["cat", "young"], "2.jpg": []}
    assert chosen.annotated == 2 and list(chosen.notes.values()) == [2]
    dropped = one([given], only=["cat"], empty="drop")
    assert list(classes(dropped)) == ["1.jpg"] and sorted(dropped.notes.values()) == [1, 3]


def test_all_sets_get_one_label_map():
    sets = {"train": [source({"1.jpg": [0]}, ["b"])], "val": [source({"2.jpg": [0]}, ["a"])]}
    made = combine(sets, Choices())
    assert made["train"].labels == made["val"].labels == LabelMap(("b", "a"), (1, 2))
    assert classes(made["val"]) == {"2.jpg": ["a"]}


def test_every_choice_changes_the_fingerprint():
    given = source({f"{k}.jpg": [0, 1] for k in range(9)})
    halves = [{"split": s, "split_seed": n, "group": g} for s, n, g in (
        (0.5, 0, None), (0.55, 0, None), (0.5, 1, None), (0.5, 0, "."))]  # fmt: skip
    choices = [{}, {"rename": {"a": "z"}}, {"only": ["a"]}, {"only": ["a"], "empty": "drop"}]
    made = [combine({None: [given]}, Choices(**c)) for c in (*choices, *halves)]
    prints = [part.fingerprint(1) for parts in made for part in parts.values()]
    assert len(set(prints)) == len(prints) == 4 + 2 * 4
    again = combine({None: [given]}, Choices(**halves[0]))
    assert [p.fingerprint(1) for p in again.values()] == prints[4:6]


WRONG = {
    "rename": ({"rename": {"x": "y"}}, "rename: expected classes of x.json, got 'x'; the classes"),
    "only": ({"only": ["a", "x"]}, "only: .* got 'x'; the classes are 'a', 'b', 'c'"),
    "only nothing": ({"only": []}, "only: .* got ''"),
    "only text": ({"only": "ab"}, "only: expected a list of class names, got 'ab'"),
    "renamed away": ({"rename": {"a": "z"}, "only": ["a"]}, "got 'a'; the classes are 'z', 'b'"),
    "empty": ({"empty": "no"}, "empty: expected keep or drop, got 'no'"),
    "share": ({"split": 80}, "split: expected a share between 0 and 1, got 80"),
    "regex": ({"split": 0.5, "group": "("}, "group: expected a regular expression, got"),
    "group alone": ({"group": "a"}, "group: expected split too"),
}


@pytest.mark.parametrize("name", WRONG)
def test_choices_that_are_not_valid(name):
    choices, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        one([source({"1.jpg": [0]})], **choices)


def test_pairs_of_arguments():
    assert paired("a", "b", ()) == [("a", "b")]
    assert paired(["a", "b"], "c", ()) == [("a", "c"), ("b", "c")]
    assert paired("a", None, ()) == [("a", None)]
    with pytest.raises(ConfigError, match="as many lists as folders, .* got 2 folders and 3 lists"):
        paired([1, 2], [1, 2, 3], ("folders", "lists"))


def halves(given, share=0.8, **choices):
    """Names of the images of train and val."""
    made = combine({None: [given]}, Choices(split=share, **choices))
    assert list(made) == ["train", "val"]
    return [[item.name for item in part.items] for part in made.values()]


def test_the_split_depends_on_names_only():
    images = {f"{k:02d}.jpg": [k % 3] for k in range(30)}
    train, val = halves(source(images))
    assert (len(train), len(val)) == (24, 6) and sorted(train + val) == sorted(images)
    assert train == sorted(train)  # the order of the source stays
    mixed = list(images.items())
    random.Random(1).shuffle(mixed)
    assert set(halves(source(dict(mixed), kind="elsewhere"))[1]) == set(val)
    assert set(halves(source(images), split_seed=1)[1]) != set(val)
    assert [len(halves(source(images), s)[1]) for s in (0.5, 0.99)] == [15, 1]
    assert len(halves(source(images), 0.01)[0]) == 3  # train keeps one image of each class


def test_groups_stay_together():
    images = {f"video{v}_{k}.jpg": [0] for v in range(5) for k in range(v + 2)}  # 2..6 frames
    for group in (r"^video\d", r"^(.*)_", r"(?:nothing)?(video\d)"):
        for share, wanted in ((0.8, 4), (0.5, 10)):
            train, val = halves(source(images), share, group=group)
            assert not {n[:6] for n in train} & {n[:6] for n in val}
            assert abs(len(val) - wanted) <= 1
    assert len(halves(source(images), group="nothing")[1]) == 4  # each image is alone
    with pytest.raises(DataError, match="at least two images or groups of images, got 1"):
        halves(source(images), group="video")


def test_rare_classes_are_in_both_parts():
    images = {f"{k:02d}.jpg": [0] for k in range(30)} | {"r1.jpg": [1], "r2.jpg": [1, 0], "s": [2]}
    for seed in range(20):
        train, val = halves(source(images), 0.9, split_seed=seed)
        assert len(val) == 3
        assert len({"r1.jpg", "r2.jpg"} & set(val)) == 1 and "s" in train
    made = combine({None: [source(images)]}, Choices(split=0.9))
    assert made["train"].notes == {"objects of class 'c', which train/ has and val/ lacks": 1}
    assert made["train"].annotated + made["val"].annotated == 34


def coco(tmp_path, count=10):
    data = folders.coco_data()
    data["images"] = [{**data["images"][0], "id": i} for i in range(count)]
    data["annotations"] = [
        folders.annotation(i + 1, image=i, category=9 - 7 * (i % 2)) for i in range(count)
    ]
    paths = folders.write_coco(tmp_path, data)
    for image in data["images"]:
        name = f"{image['id']}.png"
        (paths[1] / name).write_bytes((paths[1] / "7.png").read_bytes())
        image["file_name"] = name
    paths[0].write_text(json.dumps(data))
    return paths


def test_a_stopped_split_goes_on(tmp_path, monkeypatch):
    paths, out, done = coco(tmp_path), tmp_path / "out", []

    def counting(item):
        done.append(item.name)
        if len(done) == 9:
            raise KeyboardInterrupt
        return prepare(item)

    monkeypatch.setattr("kdet.data.convert.shards.prepare", counting)
    with pytest.raises(KeyboardInterrupt):
        convert_coco(*paths, out, workers=1, split=0.7)
    assert (out / "train/dataset.json").exists() and not (out / "val/dataset.json").exists()
    with pytest.raises(DataError, match="out/train: holds a data set made from other inputs"):
        convert_coco(*paths, out, workers=1, split=0.7, split_seed=1)
    made = convert_coco(*paths, out, workers=1, split=0.7)
    assert (made["train"]["records"], made["val"]["records"]) == (7, 3) and len(done) == 9 + 3
    assert made["train"]["labels"] == made["val"]["labels"]
    with pytest.raises(DataError, match="out/train: holds a data set and cannot hold train/"):
        convert_coco(*paths, out / "train", split=0.7)


def test_the_command_takes_all_choices(tmp_path, capsys):
    (first, images), (second, _) = coco(tmp_path / "a"), coco(tmp_path / "b", 4)
    words = ["convert", "coco", "--annotations", first, second, "--images", images, "--workers=1"]
    words += ["--split=0.75", "--split_seed=3", "--group=.*", "--empty=drop", "--out"]
    more = ["--rename=cat=pet", "--only=pet"]
    assert main(list(map(str, [*words, tmp_path / "out", *more]))) == 0
    said = capsys.readouterr().out
    both = {
        part: json.loads((tmp_path / "out" / part / "dataset.json").read_text())
        for part in ("train", "val")
    }
    assert sum(data["records"] for data in both.values()) == 7  # 5 + 2 images have a cat
    assert both["val"]["labels"] == {"names": ["pet"], "ids": [9]}
    assert "note: 7 images without objects, left out because of empty=drop" in said
    assert said.count("images, ") == 2
    for wrong, message in (
        ("--rename=cat", "--rename: expected OLD=NEW, got 'cat'"),
        (
            "--only=cats",
            "only: expected classes of truth.json, got 'cats'; the classes are 'dog', ",
        ),
    ):
        assert main(list(map(str, [*words, tmp_path / "x", wrong]))) == 1
        assert message in capsys.readouterr().err
