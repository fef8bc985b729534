import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import folders
import numpy as np
import pytest
import tensorflow as tf

from kdet.data.convert.coco import convert_coco
from kdet.data.convert.example_proto import Object, Record, serialize_example
from kdet.data.convert.images import prepare
from kdet.data.records import Records
from kdet.errors import DataError

TOOLS = Path(__file__).resolve().parents[2] / "tfrecords_tools"


def content(out):
    return {p.name: p.read_bytes() for p in out.iterdir()}


def many(tmp_path, count=12):
    """A COCO folder with `count` copies of image 7 under their own ids."""
    data = folders.coco_data()
    image = data["images"][0]
    data["images"] = [{**image, "id": i} for i in range(count)]
    data["annotations"] = [folders.annotation(i + 1, image=i) for i in range(0, count, 2)]
    return folders.write_coco(tmp_path / "many", data)


def test_index_describes_every_payload(tmp_path):
    out = tmp_path / "out"
    summary = convert_coco(*many(tmp_path), out, shards=5, workers=1)
    assert sorted(content(out)) == [
        "dataset.json",
        "index.npz",
        "report.json",
        *(f"shard-{k:05d}-of-00005.tfrecord" for k in range(5)),
    ]
    assert [s["records"] for s in summary["shards"]] == [2, 2, 3, 2, 3]
    index = np.load(out / "index.npz", allow_pickle=False)
    dtypes = {"shard": "i4", "height": "i4", "width": "i4", "objects": "i4"}
    dtypes |= dict.fromkeys(("offset", "length", "fingerprint", "image_id"), "i8")
    assert {k: index[k].dtype.str[1:] for k in index} == dtypes
    assert index["image_id"].tolist() == list(range(12))
    assert index["objects"].tolist() == [1, 0] * 6
    assert set(index["height"]) == {20} and set(index["width"]) == {30}
    for k, shard in enumerate(summary["shards"]):
        data = (out / shard["file"]).read_bytes()
        assert shard["bytes"] == len(data)
        assert shard["sha256"] == hashlib.sha256(data).hexdigest()
        payloads = list(tf.data.TFRecordDataset(str(out / shard["file"])).as_numpy_iterator())
        mine = np.flatnonzero(index["shard"] == k)
        places = zip(index["offset"][mine], index["length"][mine])
        assert [data[a : a + n] for a, n in places] == payloads
        hashes = tf.strings.to_hash_bucket_fast(payloads, 2**62).numpy()
        np.testing.assert_array_equal(hashes, index["fingerprint"][mine])


def test_the_reader_takes_what_was_written(tmp_path):
    convert_coco(*many(tmp_path), tmp_path / "out", shards=3, workers=1)
    records = Records.open(tmp_path / "out")
    records.verify()
    assert len(records) == 12 and records.labels.ids == (2, 9)


def test_workers_change_nothing(tmp_path):
    paths = many(tmp_path)
    convert_coco(*paths, tmp_path / "one", shards=2, workers=1)
    convert_coco(*paths, tmp_path / "two", shards=2, workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


KILLED = """
import os, signal, sys
from kdet.data.convert import coco, shards
whole, calls = shards.prepare, []
def prepare(item):
    calls.append(item)
    if len(calls) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(item)
shards.prepare = prepare
coco.convert_coco(*sys.argv[1:], shards=4, workers=1)
"""


def test_a_killed_conversion_goes_on(tmp_path, monkeypatch):
    paths, out = many(tmp_path), tmp_path / "out"
    convert_coco(*paths, tmp_path / "whole", shards=4, workers=1)
    command = [sys.executable, "-c", KILLED, *map(str, (*paths, out))]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    left = set(content(out))
    assert {"shard-00001-of-00004.json", "shard-00002-of-00004.tfrecord.tmp"} <= left
    assert "dataset.json" not in left
    done = []
    counting = lambda item: done.append(item) or prepare(item)  # noqa: E731
    monkeypatch.setattr("kdet.data.convert.shards.prepare", counting)
    convert_coco(*paths, out, shards=4, workers=1)
    assert len(done) == 6  # two shards of three were kept
    assert content(out) == content(tmp_path / "whole")


def test_changed_inputs_start_over(tmp_path):
    paths, out = many(tmp_path), tmp_path / "out"
    command = [sys.executable, "-c", KILLED, *map(str, (*paths, out))]
    subprocess.run(command, capture_output=True)
    paths[0].write_text(paths[0].read_text().replace('"cat"', '"cow"'))
    summary = convert_coco(*paths, out, shards=4, workers=1)
    assert summary["labels"]["names"] == ["dog", "cow"]
    convert_coco(*paths, tmp_path / "whole", shards=4, workers=1)
    assert content(out) == content(tmp_path / "whole")


def test_a_damaged_finished_shard_is_written_again(tmp_path):
    paths, out = many(tmp_path), tmp_path / "out"
    command = [sys.executable, "-c", KILLED, *map(str, (*paths, out))]
    subprocess.run(command, capture_output=True)
    shard = out / "shard-00000-of-00004.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    convert_coco(*paths, out, shards=4, workers=1)
    Records.open(out).verify()


def test_running_again_changes_nothing(tmp_path):
    paths, out = many(tmp_path), tmp_path / "out"
    first = convert_coco(*paths, out, workers=1)
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    assert convert_coco(*paths, out, workers=1) == first
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before


def test_another_data_set_is_not_overwritten(tmp_path):
    paths, out = many(tmp_path), tmp_path / "out"
    convert_coco(*paths, out, workers=1)
    before = content(out)
    with pytest.raises(DataError, match="holds a data set made from other inputs"):
        convert_coco(*folders.write_coco(tmp_path / "b", folders.coco_data()), out)
    assert content(out) == before
    shard = out / "shard-00000-of-00001.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(DataError, match="holds a damaged data set"):
        convert_coco(*paths, out)


@pytest.mark.parametrize("name", ["notes.txt", "report.json", "shard-00000-of-00001.tfrecord"])
def test_foreign_files_are_never_removed(tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(DataError, match=f"expected an empty folder, got one with '{name}'"):
        convert_coco(*many(tmp_path), out)
    assert content(out) == {name: b"mine"}


def test_temporary_files_of_a_killed_conversion_are_removed(tmp_path):
    """Those of atomic writes have names of their own in every process."""
    paths, out = many(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / ".unfinished.json.12-0123abcd.tmp").touch()  # killed at its very first file
    convert_coco(*paths, tmp_path / "whole", workers=1)
    convert_coco(*paths, out, workers=1)
    assert content(out) == content(tmp_path / "whole")
    (out / "dataset.json").rename(out / "unfinished.json")
    names = ("shard-00000-of-00001.json", "dataset.json", "report.json", "index.npz")
    for name in names:
        (out / f".{name}.12-0123abcd.tmp").touch()
    (out / ".notes.txt.12-0123abcd.tmp").touch()
    convert_coco(*paths, out, workers=1)
    left = {".notes.txt.12-0123abcd.tmp": b""}
    assert content(out) == {**content(tmp_path / "whole"), **left}


def test_strict_does_not_take_an_incomplete_data_set(tmp_path):
    data = folders.coco_data()
    data["images"][0]["file_name"] = "none.png"
    paths, out = folders.write_coco(tmp_path, data), tmp_path / "out"
    convert_coco(*paths, out, workers=1)
    before = content(out)
    with pytest.raises(DataError, match="none.png: image 7: no such file"):
        convert_coco(*paths, out, strict=True)
    assert content(out) == before


def test_no_usable_image_is_an_error(tmp_path):
    paths = many(tmp_path)
    (paths[1] / "7.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="expected a JPEG, PNG, BMP or WebP image.*; 11 more"):
        convert_coco(*paths, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["shards", "workers"])
def test_impossible_numbers(tmp_path, option):
    with pytest.raises(DataError, match=f"{option}: expected at least 1, got 0"):
        convert_coco(*many(tmp_path), tmp_path / "out", **{option: 0})


def test_encoding_equals_tensorflows():
    things = (
        Object(2**40, 3, (0.1, -2.5, 300, 1e-3), 7.25, 0, 1, ((1.5, 2, 3, 4, 5, 6), (0,) * 8)),
        Object(-1, 200, (1, 2, 3, 4), 12, 1, 0, runs=(0, 5, 100000)),
    )
    for record in (
        Record(b"\x00\xff" * 200, -7, "ä/b.jpg", 480, 640, things),
        Record(b"", 0, "", 1, 1),
    ):
        payload = serialize_example(record)
        assert tf.train.Example.FromString(payload).SerializeToString(deterministic=True) == payload


def run(tool, *arguments):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(TOOLS / tool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_tools_convert_and_describe(tmp_path):
    annotations, images = many(tmp_path)
    out = tmp_path / "out"
    done = run("from_coco.py", "--annotations", annotations, "--images", images, "--out", out)
    assert done.returncode == 0 and "12 images, 6 objects of 2 classes in 1 shards" in done.stdout
    done = run("describe.py", out, "--out", tmp_path / "sheet.png")
    assert done.returncode == 0 and "cat        6 ####" in done.stdout
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_tools_fail_in_one_line(tmp_path):
    path, out = tmp_path / "a.json", ("--out", tmp_path / "out")
    path.write_text('{"images": []}')
    for done in (
        run("from_coco.py", "--annotations", path, "--images", tmp_path, *out),
        run("from_voc.py", "--devkit", tmp_path, "--list", tmp_path / "none", *out),
    ):
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.startswith("kdet convert: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
