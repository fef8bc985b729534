"""Hostile and broken checkpoints: one line, no code run, nothing written, little memory."""

import codecs
import gzip
import os
import pickle
import subprocess
import sys
import tarfile
import tracemalloc

import numpy as np
import pytest
from paddled import ARRAYS, FILES, GOOD, HUGE, OPCODES, tar

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
        dtype = np.dtype(dtype) if isinstance(dtype, (str, list)) else dtype
        self.state = (1, shape, dtype, fortran, data)

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
    "class": Calls(CheckpointError, "text"),
    "scalar": np.float32(1),
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
    "nine sides": Array((1,) * 9),
    "no side": Array((0,), data=""),
    "side of truth": Array((True,)),
    "side of fractions": Array((1.0,)),
    "list of sides": Array([1]),
    "fortran": Array((1,), data=b"1234", fortran=True),
    "records": Array((1,), [("a", "f4")], b"1234"),
    "shape": Array("ab", data=b"1234"),
    "data": Array((1,), data=None),
    "list of data": Array((1,), data=[1, 2, 3, 4]),
    "no type": Array((1,), None),
    "type of many": Array((1,), Calls(np.dtype, "f4," * 100_000)),
    "type of huge": Array((1,), Calls(np.dtype, "(1000000,1000000)f4")),
    "big end": Array((1,), ">f4"),
    "times": Array((1,), "M8[s]", b"12345678"),
    "encoded": Array((1,), data=Calls(codecs.encode, "abcd", "utf-16")),
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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_pickles_stay_within_limits_of_the_system(tmp_path):
    """The unpickler's C form fails this: it reserves what a file names, or hangs, or crashes."""
    for number, data in enumerate(OPCODES.values()):
        (tmp_path / str(number)).write_bytes(data)
    code = """
import pathlib, resource, sys
from kdet.errors import CheckpointError
from kdet.weights import paddle

used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (used + (128 << 20),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
for path in pathlib.Path(sys.argv[1]).iterdir():
    try:
        paddle.read(path)
    except CheckpointError:
        path.unlink()
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start < 96 << 10
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, timeout=120)
    assert not list(tmp_path.iterdir())


def test_there_are_enough_of_them():
    assert len(CASES) >= 60


def test_flipped_bytes_never_do_more_than_refuse(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "x"
    tar(path, FILES)
    samples = [pickle.dumps(ARRAYS, protocol) for protocol in (2, 3, 4)]
    samples.append(path.read_bytes()[:3000])
    for number in range(1200):
        data = bytearray(samples[number % 4])
        for at in rng.integers(0, len(data), rng.integers(1, 6)):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            assert sum(array.nbytes for array in paddle.read(path).values()) <= len(data)
        except CheckpointError as error:
            assert "\n" not in str(error)
