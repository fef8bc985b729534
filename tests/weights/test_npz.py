"""The checkpoint file: round trip, atomic replacement, and one-line errors for damaged files."""

import io
import json
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from kdet.errors import CheckpointError
from kdet.weights.npz import check_complete, describe_npz, group, read_entries, read_npz, write_npz

ARRAYS = {"weights/a/kernel": np.arange(6.0, dtype="float32").reshape(2, 3), "slots/a": np.ones(2)}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "last.npz"
    write_npz(path, ARRAYS, {"step": 3})
    return path


def one_line(error, *words):
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_round_trip_and_groups(file):
    arrays, meta = read_npz(file)
    assert meta == {"step": 3}
    assert set(arrays) == set(ARRAYS)
    np.testing.assert_array_equal(group(arrays, "weights")["a/kernel"], ARRAYS["weights/a/kernel"])
    assert list(group(arrays, "slots")) == ["a"]


def test_a_failed_write_leaves_the_old_file_alone(file, monkeypatch):
    before = file.read_bytes()

    def fail(stream, **_):
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        write_npz(file, ARRAYS, {})
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == ["last.npz"]


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_truncated(file, keep):
    data = file.read_bytes()
    file.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(CheckpointError) as error:
        read_npz(file)
    one_line(error, "last.npz")


def test_flipped_byte_is_noticed(file):
    data = bytearray(file.read_bytes())
    data[data.index(np.float32(4.0).tobytes())] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(CheckpointError) as error:
        read_npz(file)
    one_line(error, "last.npz", "damaged")


def test_pickled_objects_are_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    path = tmp_path / "evil.npz"
    np.savez(
        path, meta=np.array("{}"), **{"weights/x": np.array([Trap()], dtype=object)}
    )  # pickled
    with pytest.raises(CheckpointError) as error:
        read_npz(path)
    one_line(error, "evil.npz")
    assert not (tmp_path / "owned").exists()
    path.write_bytes(pickle.dumps({"meta": 1}))
    with pytest.raises(CheckpointError) as error:
        read_npz(path)
    one_line(error, "evil.npz")


def test_missing_file_meta_and_bad_json(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_npz(tmp_path / "none.npz")
    np.savez(tmp_path / "a.npz", x=np.ones(1))
    with pytest.raises(CheckpointError, match="no 'meta' entry"):
        read_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", meta=np.array("{"))
    with pytest.raises(CheckpointError, match="damaged"):
        read_npz(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", meta=np.array(json.dumps([1])))
    with pytest.raises(CheckpointError, match="JSON object"):
        read_npz(tmp_path / "c.npz")
    np.save(tmp_path / "d.npy", np.ones(2))
    with pytest.raises(CheckpointError, match="not a kdet checkpoint"):
        read_npz(tmp_path / "d.npy")


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def packed(path, entries, kind=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", kind) as made:
        for name, data in {"meta.npy": npy(np.array("{}")), **entries}.items():
            made.writestr(name, data)
    return path


def repeated(path):
    """An archive whose list names one entry three times."""
    data = packed(path, {"x.npy": npy(np.ones(9999))}).read_bytes()
    start = data.rindex(b"PK\x01\x02")
    end = data.rindex(b"PK\x05\x06")
    entry, tail = data[start:end], bytearray(data[end:])
    tail[8:12] = b"\4\0\4\0"
    tail[12:16] = (int.from_bytes(tail[12:16], "little") + 2 * len(entry)).to_bytes(4, "little")
    return data[:end] + 2 * entry + bytes(tail)


def header(descr, shape):
    stream = io.BytesIO()
    about = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue() + bytes(8)


HOSTILE = {
    "compressed": lambda p: packed(p, {"x.npy": npy(np.zeros(1 << 22))}, zipfile.ZIP_DEFLATED),
    "repeated": lambda p: p.write_bytes(repeated(p)),
    "no array": lambda p: packed(p, {"x": b"text"}),
    "array of nothing": lambda p: packed(p, {"x.npy": header("|V0", (1 << 50,))}),
    "huge": lambda p: packed(p, {"x.npy": header("<f4", (1 << 40,))}),
    "text": lambda p: packed(p, {"x.npy": npy(np.array(["a"]))}),
    "line break": lambda p: packed(p, {"a\nb": b""}),
    "deep meta": lambda p: packed(p, {"meta.npy": npy(np.array("[" * 100_000))}),
    "locked": lambda p: p.write_bytes(
        packed(p, {}).read_bytes().replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1")
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_one_line_and_little_memory(case, tmp_path):
    path = tmp_path / "x.npz"
    HOSTILE[case](path)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as error:
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20 or case == "huge"
    finally:
        tracemalloc.stop()
    one_line(error, "x.npz")
    assert str(error.value).isprintable()


def test_described_first_and_read_one_by_one(file):
    entries, meta = describe_npz(file)
    assert meta == {"step": 3}
    assert {n: (e.shape, e.dtype.str) for n, e in entries.items()} == {
        "weights/a/kernel": ((2, 3), "<f4"),
        "slots/a": ((2,), "<f8"),
    }
    ((name, found),) = read_entries(file, ["weights/a/kernel"])
    np.testing.assert_array_equal(found, ARRAYS[name])
    with pytest.raises(CheckpointError, match="last.npz"):
        list(read_entries(file, ["none"]))


def test_object_arrays_are_not_written(tmp_path):
    with pytest.raises(CheckpointError, match="cannot store 'x'"):
        write_npz(tmp_path / "x.npz", {"x": np.array([{}], dtype=object)}, {})


def test_incomplete_lists_everything_in_one_line():
    stored = {"a": np.ones((2, 3)), "b": np.ones(1), "d": np.ones(4)}
    with pytest.raises(CheckpointError) as error:
        check_complete("f.npz", stored, {"a": (2, 3), "c": (1,), "d": (5,)})
    one_line(error, "f.npz", "missing: c", "left over: b", "wrong shape: d (4,) instead of (5,)")
    check_complete("f.npz", stored, {"a": (2, 3), "b": (1,), "d": (4,)})
