"""The file format of one tensor of Paddle 1.x (LoDTensor). All numbers are little endian.

    uint32 0 | uint64 L, then L times (uint64 n, n bytes) | uint32 0 | int32 n | n bytes TensorDesc
    | values in C order

TensorDesc is a protobuf message. Field 1 is the code of the type, and field 2 has the dimensions,
packed or not. Weights have L = 0. All sizes are checked before memory is allocated.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from kdet.errors import CheckpointError

# VarType.Type of framework.proto
DTYPES = {
    0: "|b1", 1: "<i2", 2: "<i4", 3: "<i8", 4: "<f2", 5: "<f4", 6: "<f8", 20: "|u1", 21: "|i1",
}  # fmt: skip
MOST_LEVELS, MOST_DESCRIPTOR, MOST_DIMS = 8, 128, 8


@dataclass(frozen=True)
class Header:
    """The header of a tensor, which comes before the values.

    Attributes:
        dtype: NumPy dtype of the values.
        shape: shape of the tensor, all positive.
        length: size of the header in bytes.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    length: int

    @property
    def nbytes(self) -> int:
        """Size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream, available: int, where: str) -> Header:
    """Reads the header. Afterwards the stream is at the first value.

    Args:
        stream: binary file at the tensor's first byte.
        available: largest number of bytes that the tensor can have.
        where: file and tensor, for messages.
    Raises:
        CheckpointError: not a header, or the tensor needs more than `available` bytes.
    """
    taken = 0

    def take(count, what):
        nonlocal taken
        data = stream.read(count) if 0 <= count <= available - taken else b""
        if len(data) != count:
            raise CheckpointError(f"{where}: the file ends within {what}")
        taken += count
        return data

    def number(form, what):
        return struct.unpack(form, take(struct.calcsize(form), what))[0]

    def version(what):
        found = number("<I", what)
        if found:
            raise CheckpointError(f"{where}: expected {what} 0, got {found}; not a Paddle tensor")

    version("version")
    levels = number("<Q", "the number of levels")
    if levels > MOST_LEVELS:
        raise CheckpointError(f"{where}: {levels} levels of detail; not a Paddle tensor")
    for _ in range(levels):
        size = number("<Q", "a level of detail")
        if size > available - taken:
            raise CheckpointError(f"{where}: the file ends within a level of detail")
        while size:
            size -= len(take(min(size, 65536), "a level of detail"))
    version("tensor version")
    size = number("<i", "the descriptor's size")
    if not 0 < size <= MOST_DESCRIPTOR:
        raise CheckpointError(f"{where}: a descriptor of {size} bytes; not a Paddle tensor")
    dtype, shape = _descriptor(take(size, "the descriptor"), where)
    header = Header(dtype, shape, taken)
    if header.nbytes > available - taken:
        raise CheckpointError(
            f"{where}: {_shape_text(shape, dtype)} needs {header.nbytes} bytes, "
            f"but {available - taken} follow"
        )
    return header


def read_values(stream, header: Header, where: str) -> np.ndarray:
    """Reads the values after a header as a new array. Raises CheckpointError if the file ends."""
    data = np.empty(header.nbytes, np.uint8)
    view, done = memoryview(data), 0
    while done < header.nbytes:
        count = stream.readinto(view[done : done + (1 << 24)])
        if not count:
            raise CheckpointError(f"{where}: the file ends within the values")
        done += count
    return data.view(header.dtype).reshape(header.shape)


def write_tensor(stream, array) -> None:
    """Writes one tensor with the same bytes as Paddle.

    Raises:
        CheckpointError: Paddle has no code for the dtype.
    """
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder("<").str
    codes = {name: code for code, name in DTYPES.items()}
    if dtype not in codes:
        raise CheckpointError(f"Paddle files cannot hold {array.dtype}")
    descriptor = bytes([0x08, codes[dtype]])
    for side in array.shape:
        descriptor += b"\x10" + _to_varint(side)
    stream.write(struct.pack("<IQIi", 0, 0, 0, len(descriptor)) + descriptor)
    stream.write(np.ascontiguousarray(array, dtype).tobytes())


def _descriptor(data, where):
    kind, dims, at = None, [], 0
    while at < len(data):
        tag = data[at]
        value, at = _varint(data, at + 1, where)
        if tag == 0x08:
            kind = value
        elif tag == 0x10:
            dims.append(value)
        elif tag == 0x12 and value <= len(data) - at:  # packed
            end = at + value
            while at < end:
                value, at = _varint(data, at, where)
                dims.append(value)
        else:
            raise CheckpointError(f"{where}: its descriptor is damaged")
    if kind not in DTYPES:
        raise CheckpointError(f"{where}: expected a numeric type, got code {kind}")
    if len(dims) > MOST_DIMS or any(not 0 < side < 2**31 for side in dims):
        raise CheckpointError(f"{where}: an impossible shape {tuple(dims[:MOST_DIMS])}")
    return np.dtype(DTYPES[kind]), tuple(dims)


def _varint(data, at, where):
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at
    raise CheckpointError(f"{where}: its descriptor is damaged")


def _to_varint(value):
    data = b""
    while value > 0x7F:
        data, value = data + bytes([value & 0x7F | 0x80]), value >> 7
    return data + bytes([value])


def _shape_text(shape, dtype):
    return f"{'x'.join(map(str, shape)) or 'one'} {dtype.name}"
