"""A small reader of the original system's weight files: a tar of one file per variable."""

import pathlib
import struct
import tarfile

import numpy as np

DTYPES = {3: "<i8", 5: "<f4"}


def read_tar(path):
    """Variable name -> array."""
    with tarfile.open(path) as tar:
        files = [member for member in tar.getmembers() if member.isfile()]
        return {pathlib.PurePath(m.name).name: tensor(tar.extractfile(m).read()) for m in files}


def tensor(data):
    """One file: version, no levels of detail, version, descriptor, values."""
    _, levels, _, size = struct.unpack_from("<IQIi", data)
    assert levels == 0
    kind, dims = None, []
    at, end = 20, 20 + size
    while at < end:
        tag, (value, at) = data[at], _varint(data, at + 1)
        if tag == 0x08:
            kind = DTYPES[value]
        else:
            assert tag == 0x10
            dims.append(value)
    return np.frombuffer(data, kind, offset=end).reshape(dims)


def _varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at
