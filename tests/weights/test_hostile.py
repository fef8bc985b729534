"""Hostile and broken checkpoints: one line, no code run, nothing written, little memory."""

import codecs
import gzip
import os
import pickle
import tarfile
import tracemalloc

import numpy as np
import pytest
from paddled import ARRAYS, FILES, GOOD, HUGE, tar

from kdet.errors import CheckpointError
from kdet.weights import paddle


class Calls:
    """Asks, when unpickled, for a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Array:
    """Pickled as NumPy does, with a state of its own making."""

    def __init__(self, shape, dtype="float32", data=b"1234", fortran=False):
        self.state = (1, shape, np.dtype(dtype), fortran, data)

    def __reduce__(self):
        function, arguments, _ = np.ones(1).__reduce__()
        return function, arguments, self.state


HARMFUL = {
    "system": Calls(os.system, "touch owned"),
    "open": Calls(open, "owned", "w"),
    "eval": Calls(eval, "open('owned', 'w')"),
    "exec": Calls(exec, "open('owned', 'w')"),
    "getattr": Calls(getattr, "x", "upper"),
    "import": Calls(__import__, "antigravity"),
    "bytearray": Calls(bytearray, 1 << 40),
    "np.zeros": Calls(np.zeros, (1 << 20, 1 << 20)),
    "np.load": Calls(np.frombuffer, b"1234"),
    "range": Calls(list, range(10)),
    "nested": [{"deep": (Calls(os.system, "touch owned"),)}],
}
ARRAYS_OF_LIES = {
    "huge": Array((1 << 30, 1 << 30), data=b"1234"),
    "short": Array((2, 2), data=b"1234"),
    "long": Array((1,), data=b"12345678"),
    "negative": Array((-1, -1), data=b"1234"),
    "objects": Array((1,), "O", ["x"]),
    "text": Array((1,), "U1", b"1234"),
    "complex": Array((1,), "c8", b"12345678"),
    "endless side": Array((10**5000,)),
    "many sides": Array((1,) * 100),
    "fortran": Array((1,), data=b"1234", fortran=True),
    "records": Array((1,), [("a", "f4")], b"1234"),
    "shape": Array("ab", data=b"1234"),
    "data": Array((1,), data=None),
    "encoded": Array((1,), data=Calls(codecs.encode, "abcd", "utf-16")),
}
NEST = b")\x94" + b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(60))  # 2^60 empty tuples
OPCODES = {
    "call of a nest": b"\x80\x04" + NEST + b")R.",
    "module of nests": b"\x80\x04" + NEST + b"\x8c\x01a\x93.",
    "key of nests": b"\x80\x04}" + NEST + b"K\x01s.",
    "value of nests": b"\x80\x04}X\x01\0\0\0a" + NEST + b"s.",
    "persistent": b"\x80\x02Pname\n.",
    "extension": b"\x80\x02\x82\x01.",
    "instance": b"\x80\x02(ios\nsystem\n.",
    "object": b"\x80\x02(cos\nsystem\nX\x01\0\0\0ao.",
    "global": b"\x80\x02cos\nsystem\n.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "no stop": b"\x80\x02}",
    "pop of nothing": b"\x80\x020.",
    "set on nothing": b"\x80\x02K\x01K\x01s.",
    "huge text": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7fabc.",
    "huge bytes": b"\x80\x03B\xff\xff\xff\xffabc.",
    "no dict": b"\x80\x02K\x01.",
    "odd items": b"\x80\x02}(X\x01\0\0\0au.",
    "keys": b"\x80\x02}K\x01K\x02s.",
    "unknown": b"\x80\x02\xfe.",
    "memo": b"\x80\x02h\x09.",
    "state on a dict": b"\x80\x02}}b.",
    "deep key": b"\x80\x02}" + b")" + b"\x85" * 30_000 + b"K\x01s.",
}


def pickled(value):
    return pickle.dumps({"fine": ARRAYS["bn.var"], "bad": value}, 2)


def member(kind, **more):
    def change(info):
        info.type, info.linkname = kind, "/etc/passwd"
        for key, value in more.items():
            setattr(info, key, value)
        return info

    return change


def bomb(path):
    """A tensor of 4 GB of zeros in a few MB, then a header of a gigabyte."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        info = tarfile.TarInfo("row/x")
        info.type, info.size = tarfile.XHDTYPE, 1 << 28
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(64):
            file.write(bytes(1 << 20))


def raw_tar(size, name="row/x", kind=b"0"):
    info = tarfile.TarInfo(name)
    info.type = kind
    data = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    data[124:136] = size
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data) + GOOD + bytes(2000)


TARS = {
    "parent": lambda p: tar(p, {"../x": GOOD}, folder=""),
    "deep parent": lambda p: tar(p, {"a/../../x": GOOD}),
    "absolute": lambda p: tar(p, {"x": GOOD}, folder="/tmp/"),
    "two folders": lambda p: tar(p, {"a/x": GOOD, "b/y": GOOD}),
    "twice": lambda p: tar(p, {"x": GOOD, "./x": GOOD}),
    "symlink": lambda p: tar(p, {"x": b""}, change=member(tarfile.SYMTYPE)),
    "hard link": lambda p: tar(p, {"x": b""}, change=member(tarfile.LNKTYPE)),
    "device": lambda p: tar(p, {"x": b""}, change=member(tarfile.CHRTYPE)),
    "pipe": lambda p: tar(p, {"x": b""}, change=member(tarfile.FIFOTYPE)),
    "sparse": lambda p: p.write_bytes(raw_tar(b"%011o\0" % len(GOOD), kind=b"S")),
    "empty": lambda p: tar(p, {}),
    "empty tensor": lambda p: tar(p, {"x": b""}),
    "no tensor": lambda p: tar(p, {"x": b"hello, this is a text of some length"}),
    "huge sides": lambda p: tar(p, {"x": HUGE + bytes(8)}),
    "too long": lambda p: tar(p, {"x": GOOD + b"1"}),
    "too short": lambda p: tar(p, {"x": GOOD[:-1]}),
    "half": lambda p: p.write_bytes(tar(p, FILES).read_bytes()[:1100]),
    "huge member": lambda p: p.write_bytes(raw_tar(b"77777777777\0")),
    "negative member": lambda p: p.write_bytes(raw_tar(b"\xff" * 12)),
    "negative header": lambda p: p.write_bytes(raw_tar(b"\xff" * 12, kind=tarfile.XHDTYPE)),
    "huge pax header": lambda p: p.write_bytes(raw_tar(b"77777777777\0", kind=tarfile.XHDTYPE)),
    "huge long name": lambda p: p.write_bytes(raw_tar(b"77777777777\0", kind=b"L")),
    "headers without end": lambda p: p.write_bytes(
        raw_tar(b"%011o\0" % 0, kind=tarfile.XHDTYPE)[:512] * 5000
    ),
    "bomb": bomb,
    "cut gzip": lambda p: p.write_bytes(tar(p, FILES, "w:gz").read_bytes()[:-60]),
    "no gzip": lambda p: p.write_bytes(b"\x1f\x8b" + bytes(100)),
    "page": lambda p: p.write_bytes(b"<html>log in first</html>" * 40),
    "nothing": lambda p: p.write_bytes(b""),
    "zeros": lambda p: p.write_bytes(bytes(4096)),
    "line break": lambda p: tar(p, {"a\nb": GOOD}),
    "escape": lambda p: tar(p, {"\x1b[2Jb": GOOD}),
    "a pipe itself": lambda p: os.mkfifo(p),
}  # fmt: skip


def links(folder):
    (folder / "x").symlink_to("/etc/passwd")


FOLDERS = {
    "symlink": links,
    "loop": lambda f: (f / "x").symlink_to(f),
    "pipe": lambda f: os.mkfifo(f / "x"),
    "folders": lambda f: [(f / n).mkdir() for n in "ab"],
    "empty": lambda f: None,
    "huge": lambda f: (f / "x").write_bytes(HUGE),
    "short": lambda f: (f / "x").write_bytes(GOOD[:9]),
    "text": lambda f: (f / "x").write_text("readme"),
    "line break": lambda f: (f / "a\nb").write_bytes(GOOD),
    "escape": lambda f: (f / "\x1b[2Jb").write_bytes(GOOD),
    "doll": lambda f: (
        (f / "a" / "b").mkdir(parents=True),
        (f / "a" / "b" / "x").write_bytes(GOOD),
    ),
}
CASES = (
    [("call", name, pickled(value)) for name, value in HARMFUL.items()]
    + [("lie", name, pickled(value)) for name, value in ARRAYS_OF_LIES.items()]
    + [("opcode", name, data) for name, data in OPCODES.items()]
    + [("tar", name, make) for name, make in TARS.items()]
    + [("folder", name, make) for name, make in FOLDERS.items()]
)


@pytest.mark.parametrize(("kind", "name", "made"), CASES, ids=[f"{k}-{n}" for k, n, _ in CASES])
def test_hostile_and_broken_files(kind, name, made, tmp_path, monkeypatch):
    room, path = tmp_path / "room", tmp_path / "given"
    room.mkdir()
    monkeypatch.chdir(room)
    if kind == "folder":
        path.mkdir()
        made(path)
    elif kind == "tar":
        made(path)
    else:
        path.write_bytes(made)
    before = sorted(tmp_path.rglob("*"))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as error:
            paddle.read(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    text = str(error.value)
    assert text.startswith(str(path)) and text.isprintable() and len(text) < len(str(path)) + 300
    assert kind != "lie" or ": bad: " in text
    assert sorted(tmp_path.rglob("*")) == before


def test_there_are_enough_of_them():
    assert len(CASES) >= 60


def test_flipped_bytes_never_do_more_than_refuse(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "x"
    tar(path, FILES)
    samples = [path.read_bytes()[:3000], pickled(ARRAYS["conv1_weights"])]
    for number in range(600):
        data = bytearray(samples[number % 2])
        for at in rng.integers(0, len(data), rng.integers(1, 6)):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            assert sum(array.nbytes for array in paddle.read(path).values()) <= len(data)
        except CheckpointError as error:
            assert "\n" not in str(error)
