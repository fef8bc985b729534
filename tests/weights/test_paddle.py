"""Folders, archives, joined files and pickles: the same tensors from each."""

import os
import pickle
import pickletools
import tarfile
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest
from paddled import ARRAYS, FILES, GOOD, tar

from kdet.errors import CheckpointError
from kdet.weights import paddle


def same(found):
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_folders(tmp_path):
    paddle.write(tmp_path / "w", ARRAYS.items())
    assert (tmp_path / "w" / "bn.var").read_bytes() == GOOD
    same(paddle.read(tmp_path / "w"))
    os.rename(tmp_path / "w", tmp_path / "inner")
    (tmp_path / "outer").mkdir()
    os.rename(tmp_path / "inner", tmp_path / "outer" / "inner")
    same(paddle.read(tmp_path / "outer"))


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archives(tmp_path, mode, kind):
    same(paddle.read(tar(tmp_path / "a.tar", FILES, mode, format=kind)))
    same(paddle.read(tar(tmp_path / "b.tar", FILES, mode, folder="./", format=kind)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "b.tar"]


def test_one_file_of_all_variables_needs_their_names(tmp_path):
    path = tmp_path / "__params__"
    path.write_bytes(b"".join(FILES[name] for name in sorted(FILES)))
    same(paddle.read(path, [["a", "b"], ARRAYS]))
    with pytest.raises(CheckpointError, match="3 tensors without names; expected 2 or 4"):
        paddle.read(path, ["ab", "abcd"])
    with pytest.raises(CheckpointError, match="expected a list of names"):
        paddle.read(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="tensor 2: .* needs"):
        paddle.read(path, [ARRAYS])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])  # Paddle writes 2 and 3
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_pickled_dicts(tmp_path, protocol, kind):
    stored = kind(ARRAYS, **{"StructuredToParameterName@@": {"a": "b"}, "shape": [1, (2.5, None)]})
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(stored, protocol))
    if protocol == 5:
        # arrays in protocol 5 ask for a function that Paddle's own files never did
        with pytest.raises(CheckpointError, match="refused"):
            paddle.read(tmp_path / "a.pdparams")
        return
    same(paddle.read(tmp_path / "a.pdparams"))


def test_whole_files_or_none(tmp_path):
    def broken():
        yield "a", ARRAYS["bn.var"]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        paddle.write(tmp_path / "w", broken())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_large_pickled_arrays(tmp_path, protocol):
    """All bytes there are, so that text in UTF-8 is longer than what it means."""
    values = np.resize(np.arange(40_000, dtype="uint8"), (1000, 2000))
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps({"large": values, "small": ARRAYS["bn.var"]}, protocol))
    tracemalloc.start()
    try:
        found = paddle.read(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * path.stat().st_size
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found["large"], values)
    np.testing.assert_array_equal(found["small"], ARRAYS["bn.var"])
    for size in (1, 1000, values.nbytes // 2):
        path.write_bytes(path.read_bytes()[:-size])
        with pytest.raises(CheckpointError, match="a.pdparams: .* ends early"):
            paddle.find(path)


def test_pickles_of_python_2(tmp_path):
    """Its bytes are strings, which stand for Latin-1."""
    data = bytearray(pickle.dumps(ARRAYS, 3))
    strings = {"BINBYTES": pickle.BINSTRING, "SHORT_BINBYTES": pickle.SHORT_BINSTRING}
    for opcode, _, at in pickletools.genops(bytes(data)):
        data[at : at + 1] = strings.get(opcode.name, data[at : at + 1])
    (tmp_path / "a.pdparams").write_bytes(data.replace(b"numpy._core", b"numpy.core"))
    same(paddle.read(tmp_path / "a.pdparams"))


def test_many_pickled_arrays(tmp_path):
    arrays = {f"w{number}": np.full(3, number, "float32") for number in range(5000)}
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(arrays, 2))
    found = paddle.read(tmp_path / "a.pdparams")
    assert list(found) == list(arrays) and found["w4999"].tolist() == [4999] * 3


def test_records_are_not_functions(tmp_path):
    """What a file sets on a name stays in that record; the next file is read as if alone."""
    for state in (b"}X\x04\0\0\0nameX\x01\0\0\0xs", b"N}X\x0c\0\0\0__defaults__)s\x86"):
        (tmp_path / "x").write_bytes(b"\x80\x02cnumpy\ndtype\n" + state + b"b.")
        with pytest.raises(CheckpointError):
            paddle.read(tmp_path / "x")
    (tmp_path / "x").write_bytes(pickle.dumps(ARRAYS, 2))
    assert set(paddle.read(tmp_path / "x")) == set(ARRAYS)


def test_one_text_for_many_tensors(tmp_path):
    """Else a file of 1 MB could ask for gigabytes."""
    values = np.ones(1 << 18, "float32")
    stored = {str(number): values for number in range(10_000)}
    for protocol in (2, 3, 4):
        (tmp_path / "x").write_bytes(pickle.dumps(stored, protocol))
        with pytest.raises(CheckpointError, match="its tensors share their values"):
            paddle.read(tmp_path / "x")


@pytest.mark.parametrize(
    "odd",
    [
        b"}}b",  # a state for a dict
        b"cnumpy\ndtype\n]R",  # a call with a list
        b"cnumpy\ndtype\n)R)R",  # a call of a call
        b"}}R",
        b"cos\nsystem\n",
        b"\x82\x01",  # an extension
        b"K\x01Q",  # a persistent object
        b"}2",
    ],
)
def test_oddities_beside_good_arrays(tmp_path, odd):
    good = pickle.dumps(ARRAYS, 2)
    path = tmp_path / "a.pdparams"
    path.write_bytes(good[:2] + b"K\x01" + good[2:])
    same(paddle.read(path))
    path.write_bytes(good[:2] + odd + good[2:])
    with pytest.raises(CheckpointError, match="refused"):
        paddle.read(path)
