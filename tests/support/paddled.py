"""A small checkpoint in Paddle's forms, and pieces to make broken ones of."""

import io
import struct
import tarfile

import numpy as np

from kdet.weights.paddle.tensor import write_tensor

ARRAYS = {
    "conv1_weights": np.arange(24, dtype="float32").reshape(2, 3, 2, 2),
    "bn.var": np.linspace(0, 1, 5, dtype="float32"),
    "@LR_DECAY_COUNTER@": np.array([7]),
}


def record(array):
    stream = io.BytesIO()
    write_tensor(stream, array)
    return stream.getvalue()


FILES = {name: record(array) for name, array in ARRAYS.items()}
GOOD = FILES["bn.var"]


def header(*dims, kind=5):
    said = bytes([8, kind]) + b"".join(b"\x10" + d for d in dims)
    return struct.pack("<IQIi", 0, 0, 0, len(said)) + said


HUGE = header(b"\xff\xff\xff\xff\x07", b"\xff\xff\xff\xff\x07")


def tar(path, files, mode="w", folder="row/", change=None, **facts):
    with tarfile.open(path, mode, **facts) as made:
        for name, data in files.items():
            info = tarfile.TarInfo(folder + name)
            info.size = len(data)
            made.addfile(change(info) if change else info, io.BytesIO(data))
    return path


def _size(count):
    return count.to_bytes(8, "little")


MANY = 1_000_000
NEST = b"\x80\x04)\x94" + b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(60))
NEST_60 = NEST + b"}h\x3c"  # a dict, then a nest of 2^60 empty tuples
TEXT = b"\x80\x04\x8d" + _size(MANY) + b"a" * MANY + b"\x94"
# pickles that are no dict of arrays
OPCODES = {
    "call of a nest": NEST_60 + b")R.",
    "call with a nest": b"\x80\x04cnumpy\ndtype\n" + NEST + b"R.",
    "call of a call": b"\x80\x04cnumpy\ndtype\n)R)R.",
    "call with text": TEXT + b"cnumpy\ndtype\n\x94" + b"h\x01h\0R" * 50_000 + b".",
    "call without a tuple": b"\x80\x04cnumpy\ndtype\n]R.",
    "module of nests": NEST_60 + b"\x8c\x01a\x93.",
    "name of nests": NEST + b"\x8c\x01ah\x3c\x93.",
    "key of nests": NEST_60 + b"K\x01s.",
    "keys of nests": NEST + b"}(h\x3cK\x01u.",
    "key of an ordered dict": NEST + b"ccollections\nOrderedDict\n)Rh\x3cK\x01s.",
    "dict of nests": NEST + b"(h\x3cK\x01d.",
    "set of nests": NEST + b"\x8f(h\x3c\x90.",
    "frozen set of nests": NEST + b"(h\x3c\x91.",
    "value of nests": NEST + b"}X\x01\0\0\0ah\x3cs.",
    "lists of lists": b"\x80\x02" + b"]q\0" + b"]q\1h\0ah\1a" * 50_000 + b".",
    "deep key": b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.",
    "deep value": b"\x80\x02}X\x01\0\0\0a)" + b"\x85" * 300_000 + b"s.",
    "deep calls": b"\x80\x02cnumpy\ndtype\nq\0)" + b"\x85h\0\x85" * 60_000 + b".",
    "deeper": b"\x80\x02)" + b"\x85" * (30 * MANY) + b".",
    "many marks": b"\x80\x02" + b"(" * MANY + b".",
    "many dicts": b"\x80\x02" + b"}" * MANY + b".",
    "many memos": b"\x80\x04}" + b"\x94" * MANY + b".",
    "many in a frame": b"\x80\x04\x95" + _size(MANY + 1) + b"}" * MANY + b".",
    "many names": b"\x80\x02" + b"cnumpy\ndtype\n" * MANY + b".",
    "memo far away": b"\x80\x02}r\xff\xff\xff\x7f.",
    "memo farther": b"\x80\x02}r\xff\xff\xff\xff.",
    "memo in words": b"\x80\x02}p99999999999\n.",
    "memo": b"\x80\x02h\x09.",
    "memo of nothing": b"\x80\x02q\0.",
    "persistent": b"\x80\x02Pname\n.",
    "persistent object": b"\x80\x02K\x01Q.",
    "extension": b"\x80\x02\x82\x01.",
    "extension 2": b"\x80\x02\x83\x01\0.",
    "extension 4": b"\x80\x02\x84\x01\0\0\0.",
    "instance": b"\x80\x02(ios\nsystem\n.",
    "object": b"\x80\x02(cos\nsystem\nX\x01\0\0\0ao.",
    "new object": b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x81.",
    "new object with names": b"\x80\x04cnumpy\nndarray\n)}\x92.",
    "global": b"\x80\x02cos\nsystem\n.",
    "global of Python 2": b"\x80\x02c__builtin__\neval\n.",
    "global with dots": b"\x80\x04\x8c\x05numpy\x8c\x0bos.system()\x93.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "posix": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01a\x85R.",
    "long name": b"\x80\x02c" + b"a" * MANY + b"\nb\n.",
    "name without end": b"\x80\x02c" + b"a" * MANY,
    "no stop": b"\x80\x02}",
    "nothing": b"\x80\x02.",
    "pop of nothing": b"\x80\x020.",
    "copy": b"\x80\x02}2.",
    "set on nothing": b"\x80\x02K\x01K\x01s.",
    "set on a name": b"\x80\x02cnumpy\ndtype\nX\x01\0\0\0aK\x01s.",
    "append to a name": b"\x80\x02cnumpy\ndtype\nK\x01a.",
    "huge text": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7fabc.",
    "huge text 4": b"\x80\x02X\xff\xff\xff\xffabc.",
    "huge string": b"\x80\x02T\xff\xff\xff\x7fabc.",
    "negative string": b"\x80\x02T\xff\xff\xff\xffabc.",
    "huge bytes": b"\x80\x03B\xff\xff\xff\xffabc.",
    "huge bytes 8": b"\x80\x04\x8e" + _size(1 << 33) + b"abc.",
    "endless bytes": b"\x80\x04\x8e" + b"\xff" * 8 + b"abc.",
    "huge array": b"\x80\x05\x96" + _size(1 << 33) + b"abc.",
    "huge frame": b"\x80\x04\x95" + _size(1 << 33) + b"abc.",
    "huge number": b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
    "negative number": b"\x80\x02\x8b\xff\xff\xff\xffabc.",
    "number in words": b"\x80\x02L" + b"9" * MANY + b"L\n.",
    "buffer": b"\x80\x05\x97.",
    "read only": b"\x80\x05}\x98.",
    "no text": b"\x80\x02}X\x01\0\0\0\xffK\x01s.",
    "no dict": b"\x80\x02K\x01.",
    "list": b"\x80\x02].",
    "odd items": b"\x80\x02}(X\x01\0\0\0au.",
    "keys": b"\x80\x02}K\x01K\x02s.",
    "unknown": b"\x80\x02\xfe.",
    "protocol": b"\x80\x63}.",
    "state on a dict": b"\x80\x02}}b.",
    "state on text": b"\x80\x02X\x01\0\0\0a}b.",
}
