"""Folders, archives, joined files and pickles: the same tensors from each."""

import os
import pickle
import tarfile
from collections import OrderedDict

import numpy as np
import pytest
from paddled import ARRAYS, FILES, GOOD, tar

from kdet.errors import CheckpointError
from kdet.weights import paddle
from kdet.weights.paddle.checkpoint import pickle


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


@pytest.mark.parametrize("protocol", [2, 4])
def test_long_values_stay_in_the_file(tmp_path, protocol):
    """All bytes there are, so that text in UTF-8 is longer than what it means."""
    values = np.arange(40_000, dtype="uint8").reshape(200, 200)
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps({"long": values, "short": ARRAYS["bn.var"]}, protocol))
    part = paddle.find(path)["long"]
    assert not isinstance(part.values, pickle.Piece)  # below the limit
    values = np.resize(values, (500, 400))
    path.write_bytes(pickle.dumps({"long": values, "short": ARRAYS["bn.var"]}, protocol))
    part = paddle.find(path)["long"]
    assert isinstance(part.values, pickle.Piece) and len(part.values) == values.nbytes
    found = paddle.read(path)
    np.testing.assert_array_equal(found["long"], values)
    np.testing.assert_array_equal(found["short"], ARRAYS["bn.var"])
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(CheckpointError, match="a.pdparams: long: "):
        dict(paddle.arrays([part]))
