"""Reads `.pdparams` files (Paddle 1.6 and later), which are pickled dicts of NumPy arrays.

The Python version of the standard library's unpickler is used. In its C version, a file of 9 bytes
can take 16 GB of memory (LONG_BINPUT), and nested tuples as the key of a dict can hang or crash it.
A scan of the opcodes cannot detect this.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdet.errors import CheckpointError
from kdet.weights.npz import one_line
from kdet.weights.paddle.tensor import DTYPES, MOST_DIMS, Header

ARRAY, DTYPE = "numpy.core.multiarray._reconstruct", "numpy.dtype"
ENCODE, ORDERED = "_codecs.encode", "collections.OrderedDict"
# opcodes whose implementation in the library is safe
PLAIN = [
    getattr(pickle, name)[0]
    for name in """PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT
    BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES
    BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS SETITEM SETITEMS
    BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL""".split()
]
MOST_READS = 400_000  # an array needs about 50; any read may take 100 bytes of memory
BROKEN = (ValueError, TypeError, IndexError, AttributeError, EOFError, pickle.UnpicklingError)


@dataclass(eq=False, slots=True)
class Foreign:
    """A function or class in a file, or a call of it. It is recorded and never called."""

    name: str
    arguments: tuple | None = None  # None if the function is not called
    state: object = None  # the state that the file sets for the result (BUILD)


class _Bounded:
    """A file that limits the number of reads and refuses reads after its end."""

    def __init__(self, file, size):
        self.file, self.size, self.reads = file, size, 0
        self.readline = file.readline

    def read(self, count):
        self.reads += 1
        if self.reads > MOST_READS:
            raise ValueError("it has too many parts")
        # checked before the read, because Python allocates `count` bytes first
        data = self.file.read(count) if count <= self.size else b""
        if len(data) != count:
            raise EOFError("it ends early")
        return data


class _Dict(dict):
    def __setitem__(self, key, value):
        if type(key) is not str:  # computing the hash of deeply nested tuples may never end
            raise pickle.UnpicklingError("a dict in it has keys that are not text")
        super().__setitem__(key, value)


def _refuse(reader):
    raise pickle.UnpicklingError("refused, it has an operation that a dict of arrays does not need")


def _reduce(reader):
    arguments, function = reader.stack.pop(), reader.stack.pop()
    is_function = type(function) is Foreign and function.arguments is None
    if not is_function or type(arguments) is not tuple:
        _refuse(reader)
    reader.stack.append(_Dict() if function.name == ORDERED else Foreign(function.name, arguments))


def _build(reader):
    state, call = reader.stack.pop(), reader.stack[-1]
    if type(call) is not Foreign:
        _refuse(reader)
    call.state = state


class _Reader(pickle._Unpickler):
    """The library's unpickler, changed so that it never imports or calls anything."""

    dispatch = {code: _refuse for code in range(256)}
    dispatch |= {code: pickle._Unpickler.dispatch[code] for code in PLAIN}
    dispatch[pickle.EMPTY_DICT[0]] = lambda reader: reader.stack.append(_Dict())
    dispatch[pickle.FRAME[0]] = lambda reader: reader.read(8)  # the content follows as usual
    dispatch |= {pickle.REDUCE[0]: _reduce, pickle.BUILD[0]: _build}

    def find_class(self, module, name):
        """Records the name only. Raises UnpicklingError for a name that no array needs."""
        name = f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1)  # NumPy 2 -> NumPy 1
        if name not in (ARRAY, "numpy.ndarray", DTYPE, ENCODE, ORDERED):
            raise pickle.UnpicklingError(f"refused, it asks for {name}")
        return Foreign(name)


def read_pickle(path: Path) -> dict[str, tuple[Header, bytes | str]]:
    """Reads the arrays in a pickled dict.

    Args:
        path: the file.
    Returns:
        name -> (Header of length 0, values). The values are bytes, or text that encodes them in
        Latin-1, as in pickle protocol 2. Entries that are not arrays are left out.
    Raises:
        CheckpointError: one line with the file and the tensor. The file is not a dict of plain
            containers and arrays, or the size of an array's values is wrong.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            stored = _Reader(_Bounded(file, size), encoding="latin1").load()
        if type(stored) is not _Dict:
            raise TypeError(f"it is {type(stored).__name__}")
    except BROKEN as error:
        reason = one_line(str(error), 150)
        raise CheckpointError(f"{path}: damaged or not a pickled dict: {reason}") from None
    found = {}
    for name, value in stored.items():
        if type(value) is Foreign and value.name == ARRAY:
            found[name] = _array(value, f"{path}: {one_line(name)}")
    # Two names for one array would be written and counted twice: a small file could grow large.
    if sum(header.nbytes for header, _ in found.values()) > size:
        raise CheckpointError(f"{path}: its tensors share their values")
    return found


def _array(call, where):
    """Header and values of an array that NumPy pickled. Raises CheckpointError for other data."""
    try:
        _, shape, kind, fortran, data = call.state
        if type(data) is Foreign and data.name == ENCODE and data.arguments[1:] == ("latin1",):
            data = data.arguments[0]
        text, order = kind.arguments[0], kind.state[1]  # such as "f4" and "<"
        sound = kind.name == DTYPE and type(text) is type(order) is str and not fortran
        sound = sound and order + text in DTYPES.values() and type(data) in (bytes, str)
        sound = sound and type(shape) is tuple and len(shape) <= MOST_DIMS
        sound = sound and all(type(side) is int and 0 < side < 2**31 for side in shape)
    except (TypeError, ValueError, AttributeError, IndexError):
        sound = False
    if not sound:
        raise CheckpointError(f"{where}: expected a plain numeric array")
    header = Header(np.dtype(order + text), shape, 0)
    if header.nbytes != len(data):
        raise CheckpointError(f"{where}: {shape} {header.dtype} but {len(data)} bytes of values")
    return header, data
