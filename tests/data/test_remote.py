"""Data sets at URLs: fsspec's file system in memory stands for object storage, and counts reads."""

import dataclasses
import subprocess
import sys
import threading
import tracemalloc
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
import tensorflow as tf
from plans import batch_plan

from kdet import cli
from kdet.cli.evaluate import data_of
from kdet.config import Augment, Data
from kdet.data import (
    Records,
    cached_records,
    describe,
    eval_batches,
    places,
    read_ahead,
    remote_records,
    train_batches,
)
from kdet.data.places import RemotePath, place
from kdet.data.statistics import read_statistics
from kdet.errors import ConfigError, DataError
from kdet.evaluate.truth import truth_of
from kdet.files import check_out, read_json, write_json
from kdet.train import checkpoint
from kdet.train.data_sets import limits, open_splits
from kdet.weights.npz import describe_npz

DATA = Data(short_side=32, long_side=48, pad_to=16, max_boxes=4)
WINDOW = dataclasses.replace(DATA, shuffle_window=8)
URL = "memory://bucket/records"
LAST = "shard-00001-of-00002.tfrecord"  # of the fixture `folder`, with records 3 to 6


class Storage:
    """The file system in memory. `reads` are (file, bytes); `failures` come before a read."""

    def __init__(self):
        self.system, self.reads, self.failures = fsspec.filesystem("memory"), [], []

    def upload(self, folder, url=URL):
        for path in folder.iterdir():
            self.system.pipe_file(f"{url}/{path.name}", path.read_bytes())
        return url

    def change(self, name, function, url=URL):
        """Replaces a file by function(its bytes)."""
        content = function(bytearray(self.system.store[f"{url[8:]}/{name}"].getvalue()))
        self.system.pipe_file(f"{url}/{name}", bytes(content))

    def of_shards(self):
        """Bytes of each read of a shard."""
        return [size for name, size in self.reads if name.endswith(".tfrecord")]


@pytest.fixture
def storage(monkeypatch):
    made, cat_file = Storage(), fsspec.get_filesystem_class("memory").cat_file

    def counted(system, path, start=None, end=None, **more):
        if made.failures and path.endswith(".tfrecord"):
            raise made.failures.pop(0)
        content = cat_file(system, path, start, end, **more)
        made.reads.append((path.rpartition("/")[2], len(content)))
        return content

    monkeypatch.setattr(type(made.system), "cat_file", counted)
    monkeypatch.setattr(places, "WAITS", (0.0, 0.0))
    made.system.store.clear()
    # "/bucket" and not "bucket" is how this file system stores names
    yield made
    made.system.store.clear()


@pytest.fixture
def many(tmp_path, write_folder, make_record):
    """60 records of two canvases in four shards."""
    sizes = [(30, 40), (30, 40), (40, 30)]
    made = [make_record(k, *sizes[k % 3], [(1, 2, 10, 9)] * (k % 3)) for k in range(60)]
    return write_folder(tmp_path / "many", made, shards=4)


@pytest.fixture
def small_memory(monkeypatch, many):
    """Memory for 24 records in a group, and requests of up to a group."""
    size = sum(path.stat().st_size for path in many.glob("*.tfrecord"))
    monkeypatch.setattr(remote_records, "memory", lambda: 4 * size * 24 // 60)
    monkeypatch.setattr(read_ahead, "THREADS", 1)
    monkeypatch.setattr(read_ahead, "GAP", 0)
    return size


def batches(records, data=DATA, batch=4, steps=15, seed=3, **more):
    dataset = train_batches(records, data, batch, steps, seed, **more)
    return [{k: v.numpy() for k, v in b.items()} for b in records.iterate(dataset)]


def stored(records):
    """The bytes of all records as training gets them, which needs no time for images."""
    return [payload.numpy() for payload in records.iterate(records.payloads())]


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


# --- the order ---


def epochs(window, count=60, shards=4, epochs=3, batch=1, seed=5, **more):
    """The records of all epochs in their order, and the shard of each record."""
    data = dataclasses.replace(DATA, shuffle_window=window)
    shards, sizes = np.arange(count) * shards // count, np.full((count, 2), 32)
    arguments = (sizes, data.canvas_sizes(), data, batch, epochs * count // batch, seed)
    return batch_plan(*arguments, shards=shards, **more)[0].reshape(epochs, count), shards


@pytest.mark.parametrize("window", [1, 7, 16])
def test_an_epoch_goes_through_the_shards_within_the_window(window):
    records, shards = epochs(window)
    orders = set()
    for epoch in records:
        assert sorted(epoch) == list(range(60))
        # the mean place of its records tells the place of a shard, because windows overlap
        order = np.argsort([np.flatnonzero(shards[epoch] == k).mean() for k in range(4)])
        orders.add(tuple(order))
        stream = np.concatenate([np.flatnonzero(shards == k) for k in order])
        moved = np.abs(np.argsort(stream)[epoch] - np.arange(60))
        assert moved.max() < window and (window == 1 or moved.mean() > window / 6)
    assert len(orders) > 1 and len({tuple(e) for e in records.tolist()}) == 3


def test_records_that_share_a_window_do_not_always_share_it():
    """Windows as long as shards: without a random start, records 0 and 14 were always together."""
    records, _ = epochs(15, epochs=12)
    distance = [abs(int(np.argmax(e == 0)) - int(np.argmax(e == 14))) for e in records]
    assert max(distance) >= 15 > min(distance)


def test_the_order_is_a_function_of_seed_and_epoch():
    records, _ = epochs(8)
    np.testing.assert_array_equal(records, epochs(8)[0])
    np.testing.assert_array_equal(records[:2], epochs(8, epochs=2)[0])
    assert (records != epochs(8, seed=6)[0]).any()
    # Fixed for ever: a run must go on with the same order after an upgrade.
    assert epochs(3, count=8, shards=2, epochs=2)[0].tolist() == [
        [4, 6, 7, 5, 0, 1, 2, 3],
        [5, 4, 0, 6, 7, 3, 1, 2],
    ]


def test_the_images_of_a_batch_are_in_the_order_of_the_shards():
    """Otherwise each of two workers would read all parts of the shards."""
    single, shards = epochs(16)
    batches, _ = epochs(16, batch=4)
    for one, other in zip(single, batches):
        stored = np.argsort([np.flatnonzero(shards[one] == k).mean() for k in range(4)])
        place_of = np.argsort(stored)[shards] * 60 + np.arange(60)
        wanted = [sorted(row, key=place_of.__getitem__) for row in one.reshape(-1, 4).tolist()]
        assert other.reshape(-1, 4).tolist() == wanted


def test_repeated_images_come_as_often_as_they_should():
    factors = np.ones(60)
    factors[7] = 3
    data, sizes = dataclasses.replace(DATA, shuffle_window=8), np.full((60, 2), 32)
    records, _ = batch_plan(sizes, data.canvas_sizes(), data, 2, 31, 0, repeats=factors)
    assert np.bincount(records.ravel()).tolist() == [3 if k == 7 else 1 for k in range(60)]


def test_a_negative_window_is_refused():
    with pytest.raises(ConfigError, match="Data.shuffle_window must be at least 0"):
        Data(shuffle_window=-1)


# --- equal batches ---


@pytest.mark.parametrize("data", [DATA, WINDOW])
def test_batches_from_a_url_are_those_of_the_folder(storage, many, small_memory, data):
    local, remote = Records.open(many), Records.open(storage.upload(many))
    assert type(local) is Records and remote.fingerprint == local.fingerprint
    whole = batches(local, data, steps=33)
    assert_equal(batches(remote, data, steps=33), whole)
    if data == DATA:
        return
    assert_equal(batches(remote, data, steps=33, start_step=17), whole[17:])
    shares = [batches(remote, data, steps=33, shard=(k, 2)) for k in range(2)]
    joined = [{k: np.concatenate([a[k], b[k]]) for k in a} for a, b in zip(*shares)]
    assert_equal(joined, whole)


def test_mixup_partners_come_from_a_url(storage, many):
    data = Data(short_side=32, long_side=32, resize="stretch", augment=Augment(mixup=1.5))
    data = dataclasses.replace(data, shuffle_window=8)
    local, remote = Records.open(many), Records.open(storage.upload(many))
    assert_equal(batches(remote, data, steps=4), batches(local, data, steps=4))


def test_everything_else_is_that_of_the_folder(storage, many):
    about = read_json(many / "dataset.json")
    counts = {"crowd": 0, "difficult": 0, "empty_images": 20, "per_label": [40, 20, 0]}
    about |= {"counts": counts, "source": {"kind": "voc", "annotations": "x"}}
    write_json(many / "dataset.json", about)
    local, remote = Records.open(many), Records.open(storage.upload(many))
    found = [list(r.iterate(eval_batches(r, DATA, 4))) for r in (remote, local)]
    assert_equal(*found)
    assert truth_of(remote) == truth_of(local)
    for ours, theirs in zip(read_statistics(remote), read_statistics(local)):
        np.testing.assert_array_equal(ours, theirs)
    assert remote.read(5).numpy() == local.read(5).numpy()
    assert describe(remote) == describe(local).replace(str(many), URL)
    assert read_json(remote.folder / "dataset.json") == about
    assert read_json(remote.folder / "report.json") == {}
    remote.verify()
    storage.change("shard-00002-of-00004.tfrecord", lambda b: b[:-1] + bytes([b[-1] ^ 1]))
    with pytest.raises(DataError, match=f"{URL}/shard-00002-of-00004.tfrecord: expected sha256"):
        remote.verify()


# --- requests ---


def read_once(storage, url, data, steps=15, **more):
    records = Records.open(url)
    storage.reads.clear()
    batches(records, data, steps=steps, **more)
    return storage.of_shards()


def test_an_epoch_takes_few_requests_and_each_byte_once(storage, many, small_memory):
    url = storage.upload(many)
    seen = read_once(storage, url, WINDOW)
    assert len(seen) <= 60 / 4 and 0.9 * small_memory < sum(seen) < 1.25 * small_memory
    # without a window, most records are requests of their own
    assert len(read_once(storage, url, DATA)) > 2 * len(seen)


def requests(monkeypatch, window, part, gap=0):
    """Bytes of each request of an epoch of 600 records of 10 bytes, in groups of 24 records."""
    monkeypatch.setattr(read_ahead, "THREADS", 1)
    monkeypatch.setattr(read_ahead, "GAP", gap)
    seen, starts = [], np.arange(600) % 100 * 10

    def fetch(shard, start, end):
        seen.append(end - start)
        return bytes(end - start)

    records, shards = epochs(window, 600, 6, 1, batch=4)
    numbers = records.reshape(-1, 4)[:, part].ravel()
    reader = read_ahead.ReadAhead(fetch, shards, starts, starts + 10, 4 * 240)
    assert sum(len(rows) for rows, _ in reader.rows([(numbers,)], 0)) == len(numbers)
    return seen


def test_what_lies_between_records_is_kept_for_the_next_group(monkeypatch):
    """Windows as long as groups overlap with two of them, and still nothing is read twice."""
    seen = requests(monkeypatch, 24, slice(4))
    assert len(seen) < 80 and sum(seen) == 6000  # 293 if it is not kept
    wasteful = requests(monkeypatch, 48, slice(4), gap=20)
    assert len(wasteful) < 0.8 * len(requests(monkeypatch, 48, slice(4)))
    assert 6000 < sum(wasteful) < 7500


@pytest.mark.parametrize("part", [slice(2), slice(2, 4)])
def test_two_workers_read_different_parts_of_a_window(monkeypatch, part):
    seen = requests(monkeypatch, 24, part)
    assert len(seen) < 140 and sum(seen) == 3000  # more than 180 if batches are not sorted


@pytest.mark.parametrize("order", ["random", "stored", "repeated"])
def test_the_memory_is_bounded(order):
    shards, starts = np.repeat(np.arange(5), 100), np.tile(np.arange(100) * 10_000, 5)
    numbers = np.random.default_rng(0).permutation(500)
    numbers = {"random": numbers, "stored": np.arange(500), "repeated": np.tile(numbers[:50], 10)}
    limit, taken = 1_000_000, []  # a fifth of all records
    reader = read_ahead.ReadAhead(
        lambda shard, start, end: bytes(end - start), shards, starts, starts + 10_000, limit
    )
    tracemalloc.start()
    for rows, stored in reader.rows([(numbers[order],)], 0):
        taken += rows.tolist()
        assert {len(x) for x in stored} == {10_000}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken == numbers[order].tolist()
    assert limit / 4 < peak < 1.2 * limit


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("kdet-read")]


def test_a_dropped_iterator_ends_its_threads(storage, many, small_memory):
    records = Records.open(storage.upload(many))
    rows = records.read_ahead([(np.arange(60),)], 0)
    assert next(rows)[0].tolist() == list(range(16))
    assert readers()
    rows.close()
    for thread in readers():
        thread.join(10)
    assert not readers()


def test_the_setting_of_the_memory(monkeypatch, storage, folder):
    monkeypatch.setenv("KDET_READ_MB", "64")
    assert read_ahead.memory() == 64 << 20
    monkeypatch.setenv("KDET_READ_MB", "much")
    url = storage.upload(folder)
    with pytest.raises(ConfigError, match="KDET_READ_MB must be a whole number above 0, got 'mu"):
        Records.open(url)


def test_a_run_is_told_about_a_window_that_helps(storage, many, small_memory, monkeypatch):
    records = Records.open(storage.upload(many))
    assert limits(records, None, WINDOW) == []
    assert records.largest_window in (23, 24)
    assert limits(records, None, DATA) == [
        f"about every image of {URL} is a request of its own; "
        f"data.shuffle_window={records.largest_window} reads many images with one"
    ]
    assert limits(Records.open(many), None, DATA) == []


# --- errors ---


def said(function):
    with pytest.raises(DataError) as caught:
        function()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def flip(records, number, at):
    place_of = int(records.index["offset"][number]) + at

    def change(content):
        content[place_of] ^= 1
        return content

    return change


@pytest.mark.parametrize("number, at", [(3, 40), (6, 40), (4, -12), (4, -2)])
def test_a_damaged_record_is_named(storage, folder, number, at):
    records = Records.open(storage.upload(folder))
    storage.change(LAST, flip(records, number, at))
    expected = f"{URL}/{LAST}: record {number} (image id {100 + number}) is damaged"
    assert said(lambda: stored(records)) == expected
    one = tf.data.Dataset.range(7).map(records.read)
    assert said(lambda: list(records.iterate(one))) == expected


def test_a_record_exchanged_for_another_is_found(storage, folder):
    records = Records.open(storage.upload(folder))
    records.index["fingerprint"][4] += 1
    expected = f"{URL}/{LAST}: record 4 is not the one in index.npz"
    assert said(lambda: batches(records, steps=4)) == expected


def test_missing_and_cut_shards(storage, folder):
    records = Records.open(storage.upload(folder))
    whole = records.shards[1]["bytes"]
    end = int(records.index["offset"][5] + records.index["length"][5])
    storage.change(LAST, lambda content: content[: end + 3])
    cut = f"{URL}/{LAST}: expected {whole} bytes, found {end + 3}; "
    cut += "record 5 (image id 105) is the first one cut"
    assert said(lambda: Records.open(URL)) == cut
    assert said(lambda: stored(records)) == cut
    storage.system.rm_file(f"{URL}/{LAST}")
    assert said(lambda: Records.open(URL)) == f"{URL}/{LAST}: shard is missing"
    assert said(lambda: stored(records)) == f"{URL}/{LAST}: shard is missing"
    storage.system.rm_file(f"{URL}/index.npz")
    assert said(lambda: Records.open(URL)) == f"{URL}/index.npz: file is missing"
    storage.system.rm_file(f"{URL}/dataset.json")
    assert "expected dataset.json; was the conv" in said(lambda: Records.open(URL))
    assert said(lambda: Records.open("memory://nowhere")) == "memory://nowhere: no such folder"


def test_an_error_that_passes_is_tried_again(storage, folder):
    local, remote = Records.open(folder), Records.open(storage.upload(folder))
    storage.failures += [OSError("reset by peer"), TimeoutError()]
    assert stored(remote) == stored(local) and len(stored(local)) == 7
    assert not storage.failures


def test_an_error_that_stays_is_one_line(storage, folder):
    records = Records.open(storage.upload(folder))
    storage.failures += [OSError("reset\nby peer")] * 1000
    found = said(lambda: stored(records))
    assert found.startswith(f"{URL}/shard-0000")
    assert found.endswith(".tfrecord: OSError reset by peer (3 attempts)")
    storage.failures[:] = [PermissionError("no access")] * 2
    found = said(lambda: records.read(0))
    assert found == f"{URL}/shard-00000-of-00002.tfrecord: PermissionError no access"
    assert len(storage.failures) == 1  # more attempts would not help


# --- places ---


def test_urls_and_paths(tmp_path):
    assert place("gs://bucket/records/") == RemotePath("gs://bucket/records")
    assert str(place("gs://bucket/a") / "b.json") == "gs://bucket/a/b.json"
    assert (place("s3://b/a/c").parent, place("s3://b/a/c").name) == (place("s3://b/a"), "c")
    for path in ("records", "/a/b", "c:/a", "c://a", tmp_path, "a:b"):
        assert not isinstance(place(path), RemotePath)
    with pytest.raises(TypeError):
        open(place("gs://bucket/a"))
    with pytest.raises(ConfigError, match="--out gs://a: expected a local folder"):
        check_out("gs://a")


def test_splits_at_a_url(storage, folder, many):
    for split, source in (("train", many), ("val", folder)):
        storage.upload(source, f"memory://both/{split}")
    assert "it holds train, val" in said(lambda: Records.open("memory://both"))
    train, val = open_splits("memory://both/")
    assert (len(train), len(val)) == (60, 7) and str(val.folder) == "memory://both/val"
    assert open_splits("memory://both/train")[1] is None
    assert str(cached_records("memory://both/train/dataset.json")) == "memory://both/train"


def test_a_file_url_reads_local_files(many):
    records = Records.open(f"file://{many}")
    assert records.remote
    assert stored(records) == stored(Records.open(many)) and len(stored(records)) == 60


def test_commands_take_urls(storage, many, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage.upload(many)
    assert cli.main(["plan", URL, "--row", "ssd_mobilenet_v1_voc"]) == 0
    assert capsys.readouterr().out.startswith(f"{URL}: 60 images, 3 classes")
    assert cli.main(["plan", "memory://nowhere"]) == 1
    arguments = ["train", "ssd_mobilenet_v1_voc", "--data", "memory://nowhere", "--init=none"]
    assert cli.main(arguments) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "kdet plan: memory://nowhere: no such folder"
    assert told[-1] == "error: memory://nowhere: no such folder"
    assert not list(tmp_path.glob("memory*"))


def test_a_checkpoint_keeps_the_url_for_evaluation(storage, many, tmp_path, capsys):
    network, scale = SimpleNamespace(variables=[]), SimpleNamespace(value=1.0, good=0)
    schedule = SimpleNamespace(batch=4)
    trainer = SimpleNamespace(network=network, slots={}, step=0, schedule=schedule)
    trainer.loss_scale = scale
    for data, stored in ((URL, URL), (many, str(many)), (None, None)):
        checkpoint.save(tmp_path / "last.npz", trainer, {}, data=data)
        meta = describe_npz(tmp_path / "last.npz")[1]
        assert meta["data_path"] == stored
    source = SimpleNamespace(path=tmp_path / "last.npz", meta={"data_path": URL, "data": "other"})
    with pytest.raises(DataError, match=f"its data set {URL} is not there; pass a data set with"):
        data_of(source)
    storage.upload(many)
    assert data_of(source) == place(URL)
    assert "is not that of the run any more" in capsys.readouterr().err
    source.meta["data"] = Records.open(many).fingerprint
    assert data_of(source) == place(URL) and not capsys.readouterr().err


def test_without_the_extra_there_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ConfigError) as caught:
        Records.open(URL)
    assert str(caught.value) == (
        'memory:// needs the package fsspec; install it with pip install "kdet[remote]"'
    )


def test_an_unknown_scheme_is_one_line():
    with pytest.raises(ConfigError, match="nothing:// cannot be read: Protocol not known: nothing"):
        Records.open("nothing://a")


def test_fsspec_is_imported_for_urls_only(folder):
    code = f"import sys; from kdet.data import Records; Records.open({str(folder)!r}); "
    code += "sys.exit('fsspec' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_the_checksum_of_the_format(folder):
    content = (folder / LAST).read_bytes()
    assert remote_records.masked_crc32c(content[:8]) == int.from_bytes(content[8:12], "little")
    offset, length = (int(Records.open(folder).index[c][3]) for c in ("offset", "length"))
    payload, footer = content[offset : offset + length], content[offset + length :][:4]
    assert remote_records.masked_crc32c(payload) == int.from_bytes(footer, "little")
