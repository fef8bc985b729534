"""Messages between workers, here as objects of one process, and what they carry."""

import threading

import numpy as np
import pytest

from kdet.config import Data
from kdet.data.batch_plan import eval_plan
from kdet.errors import ConfigError, EvaluationError, LostWorkerError
from kdet.masks.rle import encode_mask
from kdet.train import exchange
from kdet.train.exchange import Exchange
from kdet.train.shares import Part, merge, pack, unpack


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """The chief and another worker, who count as lost after one second."""
    monkeypatch.setattr(exchange, "SILENCE", 1.0)
    return [Exchange(tmp_path, (index, 2), 77) for index in (0, 1)]


def later(seconds, function, *arguments):
    timer = threading.Timer(seconds, function, arguments)
    timer.start()
    return timer


def test_one_worker_writes_nothing(tmp_path):
    with Exchange(tmp_path, (0, 1), 1) as alone:
        assert alone.tell({"a": 1}) == {"a": 1}
    assert not list(tmp_path.iterdir())


def test_calls_meet_in_their_order(pair):
    chief, other = pair
    with chief:
        with other:
            for number in (1, 2):
                # the other worker is later than the limit of silence, but shows signs of life
                later(1.5, other.gather, {"x": np.arange(number)}, {"n": number})
                (mine, _), (theirs, meta) = chief.gather({"x": np.zeros(3)}, {})
                assert mine["x"].shape == (3,) and meta == {"n": number}
                np.testing.assert_array_equal(theirs["x"], np.arange(number))
            later(1.5, chief.tell, {"best": 0.1 + 0.2})
            assert other.tell({}) == {"best": 0.1 + 0.2}
    assert not chief.folder.exists()


def test_a_lost_worker_is_named(pair):
    chief, other = pair
    with pytest.raises(ValueError, match="shard 3"), other:
        raise ValueError("shard 3 is damaged\nmore")
    with pytest.raises(LostWorkerError, match="^worker 1 has ended with ValueError: shard 3 is"):
        chief.gather({}, {})
    chief._stop.set()  # as if its process were killed
    with pytest.raises(LostWorkerError, match="^worker 0 shows no sign of life for 1 s$"):
        other.tell({})


def test_workers_need_one_folder_and_old_messages_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "SILENCE", 0.3)
    with pytest.raises(ConfigError, match="--out folder on storage that all of them share"):
        Exchange(tmp_path, (1, 2), 5)
    (tmp_path / ".workers-4").mkdir()
    with Exchange(tmp_path, (0, 2), 5):
        assert [path.name for path in tmp_path.iterdir()] == [".workers-5"]


def detections(count, seed):
    rng = np.random.default_rng(seed)
    return {
        "boxes": rng.normal(size=(count, 4)).astype("float32"),
        "scores": rng.uniform(size=count).astype("float32"),
        "labels": rng.integers(0, 4, count).astype("int32"),
        "segmentations": [encode_mask(rng.uniform(size=(5, 6)) < 0.5) for _ in range(count)],
    }


@pytest.mark.parametrize("masks", [True, False])
def test_detections_keep_every_bit(masks):
    found = {id_: detections(count, id_ + 9) for id_, count in ((7, 2), (-1, 0), (2**60, 3))}
    if not masks:
        for one in found.values():
            del one["segmentations"]
    again = unpack(*pack(found))
    assert list(again) == list(found)
    for image_id, one in found.items():
        assert again[image_id].keys() == one.keys()
        for name, value in one.items():
            assert again[image_id][name] is not value
            np.testing.assert_array_equal(again[image_id][name], value)
            assert name == "segmentations" or again[image_id][name].dtype == value.dtype
    assert unpack(*pack({})) == {}
    first, last = {7: found[7]}, {k: found[k] for k in (-1, 2**60)}
    assert list(merge([last, first], [2**60, 7, -1])) == [2**60, 7, -1]
    with pytest.raises(EvaluationError, match="several workers evaluated the same image"):
        merge([last, last], [7])


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_shares_are_whole_batches_of_one_device(workers):
    """Also where several canvases end with a batch that has a gap."""

    class Records:
        sizes = np.array([(64, 64), (64, 90)] * 6 + [(64, 64)] * 3)  # 9 and 6 images

    data = Data(short_side=64, long_side=96, canvases=((64, 64), (64, 96)))
    numbers, canvas, real = eval_plan(Records.sizes, data.canvas_sizes(), data, 4)
    assert len(numbers) == 5 and not real.all()
    for index in range(workers):
        mine = numbers[index::workers][real[index::workers]]
        part = Part(Records(), mine)
        ours, of_canvas, filled = eval_plan(part.sizes, data.canvas_sizes(), data, 4)
        np.testing.assert_array_equal(mine[ours], numbers[index::workers])
        np.testing.assert_array_equal(of_canvas, canvas[index::workers])
        np.testing.assert_array_equal(filled, real[index::workers])
