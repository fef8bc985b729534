"""`.pdparams` files (Paddle 1.6 and later), which are pickled dicts of NumPy arrays.

They are read by the standard library's unpickler in its Python form. In its C form, a file of 9
bytes takes 16 GB (LONG_BINPUT), and nested tuples as a dict's key hang or crash it, which a scan
of the opcodes cannot foresee.
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
# opcodes that are safe as the library runs them
PLAIN = [
    getattr(pickle, name)[0]
    for name in """PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT
    BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES
    BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS SETITEM SETITEMS
    BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL""".split()
]
MOST_READS = 400_000  # an array takes about 50; each may cost 100 bytes, whatever it reads
BROKEN = (ValueError, TypeError, IndexError, AttributeError, EOFError, pickle.UnpicklingError)


@dataclass(eq=False, slots=True)
class Foreign:
    """A function or class that a file names, or a call of one. It is recorded and never called."""

    name: str
    arguments: tuple | None = None  # None for the function itself
    state: object = None  # what the file gives the result


class _Bounded:
    """A file that is read neither past its end nor too often."""

    def __init__(self, file, size):
        self.file, self.size, self.reads = file, size, 0
        self.readline = file.readline

    def read(self, count):
        self.reads += 1
        if self.reads > MOST_READS:
            raise ValueError("it has too many parts")
        data = self.file.read(count) if count <= self.size else b""  # Python reserves `count` bytes
        if len(data) != count:
            raise EOFError("it ends early")
        return data


class _Dict(dict):
    def __setitem__(self, key, value):
        if type(key) is not str:  # the hash of a nest of tuples may take forever
            raise pickle.UnpicklingError("a dict in it has keys that are no text")
        super().__setitem__(key, value)


def _refuse(reader):
    raise pickle.UnpicklingError("refused, since it does what no dict of arrays needs")


def _reduce(reader):
    arguments, function = reader.stack.pop(), reader.stack.pop()
    named = type(function) is Foreign and function.arguments is None
    if not named or type(arguments) is not tuple:
        _refuse(reader)
    reader.stack.append(_Dict() if function.name == ORDERED else Foreign(function.name, arguments))


def _build(reader):
    state, call = reader.stack.pop(), reader.stack[-1]
    if type(call) is not Foreign:
        _refuse(reader)
    call.state = state


class _Reader(pickle._Unpickler):
    """The library's unpickler, which here imports and calls nothing that a file names."""

    dispatch = {code: _refuse for code in range(256)}
    dispatch |= {code: pickle._Unpickler.dispatch[code] for code in PLAIN}
    dispatch[pickle.EMPTY_DICT[0]] = lambda reader: reader.stack.append(_Dict())
    dispatch[pickle.FRAME[0]] = lambda reader: reader.read(8)  # its content is read like the rest
    dispatch |= {pickle.REDUCE[0]: _reduce, pickle.BUILD[0]: _build}

    def find_class(self, module, name):
        """Only records the name. Raises UnpicklingError for one that no array needs."""
        name = f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1)  # NumPy 2 -> NumPy 1
        if name not in (ARRAY, "numpy.ndarray", DTYPE, ENCODE, ORDERED):
            raise pickle.UnpicklingError(f"refused, since it asks for {name}")
        return Foreign(name)


def read_pickle(path: Path) -> dict[str, tuple[Header, bytes | str]]:
    """Reads the arrays in a pickled dict.

    Args:
        path: the file.
    Returns:
        name -> (Header of length 0, values). The values are bytes, or text that stands for them in
        Latin-1, as protocol 2 has it. What is no array is left out.
    Raises:
        CheckpointError: one line with the file and the tensor. The file is no dict of plain
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
    if sum(header.nbytes for header, _ in found.values()) > size:
        raise CheckpointError(f"{path}: its tensors share their values")
    return found


def _array(call, where):
    """Header and values of an array as NumPy pickles it. Raises CheckpointError for all others."""
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
