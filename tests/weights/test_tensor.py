"""One tensor of Paddle: bytes known by hand, bytes written by Paddle itself, and damaged ones."""

import io
import struct

import numpy as np
import pytest
from golden import FOLDER

from kdet.errors import CheckpointError
from kdet.weights.paddle.tensor import DTYPES, read_header, read_values, write_tensor

# the example of the format's description: float32 [2], both one
ONES = bytes.fromhex("00000000 0000000000000000 00000000 04000000 08051002 0000803f 0000803f")


def read(data):
    stream = io.BytesIO(data)
    header = read_header(stream, len(data), "file: x")
    return read_values(stream, header, "file: x")


def written(array):
    stream = io.BytesIO()
    write_tensor(stream, array)
    return stream.getvalue()


def test_the_example_both_ways():
    np.testing.assert_array_equal(read(ONES), np.ones(2, "float32"))
    assert written(np.ones(2, "float32")) == ONES


def test_packed_dimensions_and_levels_of_detail():
    packed = struct.pack("<IQIi", 0, 0, 0, 7) + bytes.fromhex("0805 1203ac0201") + bytes(300 * 4)
    assert read(packed).shape == (300, 1)
    levels = struct.pack("<IQQ", 0, 1, 24) + bytes(24) + ONES[12:]
    np.testing.assert_array_equal(read(levels), [1, 1])


@pytest.mark.parametrize("dtype", DTYPES.values())
@pytest.mark.parametrize("shape", [(), (1,), (300,), (2, 3, 3, 3)])
def test_round_trip(dtype, shape):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    found = read(written(array))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_files_of_paddle_itself():
    folder = FOLDER / "paddle_files"
    for name, shape, dtype in (
        ("float32_300", (300,), "float32"),
        ("float32_2x3", (2, 3), "float32"),
        ("conv1_weights", (32, 3, 3, 3), "float32"),
        ("lodvar_int64_3x2_lod_0_1_3", (3, 2), "int64"),
    ):
        data = (folder / name).read_bytes()
        array = read(data)
        assert array.shape == shape and array.dtype == dtype
        assert "lod" in name or written(array) == data
    assert np.frombuffer(data[:1], "u1") == 0


def descriptor(data, values=b"\0" * 8):
    return struct.pack("<IQIi", 0, 0, 0, len(data)) + data + values


DAMAGED = {
    "empty": (b"", "ends within version"),
    "cut header": (ONES[:15], "ends within tensor version"),
    "cut descriptor": (ONES[:22], "ends within the descriptor"),
    "cut values": (ONES[:-1], "needs 8 bytes, but 7 follow"),
    "version": (b"\1" + ONES[1:], "expected version 0, got 1"),
    "levels": (struct.pack("<IQ", 0, 2**40), "levels of detail"),
    "level's size": (struct.pack("<IQQ", 0, 1, 2**62) + bytes(99), "within a level of detail"),
    "tensor version": (ONES[:12] + b"\7" + ONES[13:], "tensor version 0, got 7"),
    "negative descriptor": (ONES[:16] + b"\xff" * 4 + ONES[20:], "descriptor of -1 bytes"),
    "huge descriptor": (ONES[:16] + b"\xff\xff\xff\x7f" + ONES[20:], "descriptor of 2147483647"),
    "no descriptor": (descriptor(b""), "descriptor of 0 bytes"),
    "unknown type": (descriptor(b"\x08\x07\x10\x02"), "got code 7"),
    "no type": (descriptor(b"\x10\x02"), "got code None"),
    "unknown field": (descriptor(b"\x08\x05\x18\x02"), "damaged"),
    "varint without end": (descriptor(b"\x08\x05\x10" + b"\xff" * 20), "damaged"),
    "cut varint": (descriptor(b"\x08\x05\x10\x80"), "damaged"),
    "cut pack": (descriptor(b"\x08\x05\x12\x09\x02"), "damaged"),
    "no side": (descriptor(b"\x08\x05\x10\x00"), "impossible shape (0,)"),
    "negative side": (descriptor(b"\x08\x05\x10" + b"\xff" * 9 + b"\x01"), "impossible shape"),
    "many sides": (descriptor(b"\x08\x05" + b"\x10\x01" * 9), "impossible shape"),
    "huge sides": (descriptor(b"\x08\x05" + b"\x10\xff\xff\xff\xff\x07" * 4), "but 8 follow"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_ones_are_refused_in_one_line(case):
    data, said = DAMAGED[case]
    with pytest.raises(CheckpointError) as error:
        read(data)
    text = str(error.value)
    assert said in text and text.startswith("file: x: ") and "\n" not in text and len(text) < 200


def test_any_flipped_byte_is_refused_or_changes_little():
    """No header makes the reader take more than the file has, nor raise anything else."""
    rng = np.random.default_rng(0)
    for _ in range(2000):
        data = bytearray(ONES)
        for at in rng.integers(0, 24, rng.integers(1, 4)):
            data[at] = rng.integers(0, 256)
        try:
            assert read(bytes(data)).nbytes <= 8
        except CheckpointError as error:
            assert str(error).startswith("file: x: ")


def test_types_paddle_does_not_know():
    with pytest.raises(CheckpointError, match="cannot hold complex64"):
        write_tensor(io.BytesIO(), np.ones(2, "complex64"))
