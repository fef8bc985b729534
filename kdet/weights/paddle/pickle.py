"""`.pdparams` files (Paddle 1.6 and later), which are pickled dicts of NumPy arrays.

They are read by the standard library's unpickler in its Python form. The C form takes 16 GB for a
file of 8 bytes (a large LONG_BINPUT), and a dict key of nested tuples hangs or crashes it; only a
reader that sees the stack can refuse such keys.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdet.errors import CheckpointError
from kdet.weights.npz import one_line
from kdet.weights.paddle.tensor import DTYPES, MOST_DIMS, Header

ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
DTYPE, ENCODE, ORDERED = "numpy.dtype", "_codecs.encode", "collections.OrderedDict"
KNOWN = (*ARRAYS, "numpy.ndarray", DTYPE, ENCODE, ORDERED)
PLAIN = (
    "PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINSTRING "
    "SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT BINPUT "
    "LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL"
).split()  # opcodes that are safe as the library runs them
MOST_READS = 400_000  # an array takes about 100; each read may cost 150 bytes of memory
BROKEN = (ValueError, TypeError, IndexError, AttributeError, EOFError, pickle.UnpicklingError)


@dataclass(eq=False)
class Foreign:
    """A function or class that a file names, or a call of one. It is recorded and never called.

    Attributes:
        name: module and name, with a dot between.
        arguments: of the call. None means that this is the function or class itself.
        state: what the file gives the result of the call.
    """

    name: str
    arguments: tuple | None = None
    state: object = None


class _Bounded:
    """A file that is read neither past its end nor too often."""

    def __init__(self, file, size):
        self.file, self.size, self.reads = file, size, 0

    def read(self, count):
        self.reads += 1
        if self.reads > MOST_READS:
            raise ValueError("it has too many parts")
        data = self.file.read(count) if count <= self.size else b""  # Python reserves `count` bytes
        if len(data) != count:
            raise EOFError("it ends early")
        return data

    def readline(self):
        return self.file.readline(1000)


def _refuse(reader):
    raise pickle.UnpicklingError("it has an opcode that no dict of arrays needs")


class _Reader(pickle._Unpickler):
    """The library's unpickler, which here neither imports nor calls anything.

    `find_class` and `load_reduce` only make records, and all opcodes that are not named are refused.
    """

    dispatch = {code: _refuse for code in range(256)}
    for _code in PLAIN:
        dispatch[getattr(pickle, _code)[0]] = pickle._Unpickler.dispatch[getattr(pickle, _code)[0]]

    def find_class(self, module, name):
        """The record of a name that the file asks for. Raises UnpicklingError for a foreign one."""
        name = f"{module}.{name}"
        if name not in KNOWN:
            raise pickle.UnpicklingError(f"refused, since it asks for {name}")
        return Foreign(name)

    def load_frame(self):
        """Skips a frame's size. Its content is read like the rest, and so is bounded."""
        self.read(8)

    def load_reduce(self):
        """Records a call. Raises UnpicklingError where the file calls anything but a name."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Foreign or function.arguments is not None:
            raise pickle.UnpicklingError("it calls what is no function")
        if type(arguments) is not tuple:
            raise pickle.UnpicklingError("it calls a function without a tuple")
        ordered = function.name == ORDERED
        self.stack.append({} if ordered else Foreign(function.name, arguments))

    def load_build(self):
        """Records the state of a call's result. Raises UnpicklingError for all else."""
        state, call = self.stack.pop(), self.stack[-1]
        if type(call) is not Foreign or call.arguments is None:
            raise pickle.UnpicklingError("it sets the state of what is no array")
        call.state = state

    def load_setitem(self):
        """One item of a dict. Raises UnpicklingError for a key that is not text."""
        self.check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self):
        """Many items of a dict. Raises UnpicklingError for a key that is not text."""
        self.check_keys(self.stack[::2])
        super().load_setitems()

    def check_keys(self, keys):
        """Raises UnpicklingError unless all keys are text; hashing others could take forever."""
        if any(type(key) is not str for key in keys):
            raise pickle.UnpicklingError("a dict in it has keys that are no text")

    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems


def read_pickle(path) -> dict[str, tuple[Header, bytes | str]]:
    """Reads the arrays in a pickled dict.

    Args:
        path: the file.
    Returns:
        name -> (Header of length 0, values). The values are bytes, or text that stands for them in
        Latin-1, as protocol 2 has it. What is no array is left out.
    Raises:
        CheckpointError: one line with the file and the tensor. The file holds something else than a
            dict of plain containers and arrays, or an array whose values do not have its size, or
            tensors that share their values.
    """
    path = Path(path)
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            stored = _Reader(_Bounded(file, size), encoding="latin1").load()
        if type(stored) is not dict:
            raise TypeError(f"it is {type(stored).__name__}")
    except BROKEN as error:
        reason = one_line(" ".join(str(error).split()), 150)
        raise CheckpointError(f"{path}: damaged or not a pickled dict: {reason}") from None
    found = {}
    for name, value in stored.items():
        if type(value) is Foreign and value.name in ARRAYS and value.arguments is not None:
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
        sound = kind.name == DTYPE and type(text) is type(order) is str
        sound = sound and order + text in DTYPES.values()
        sound = sound and type(data) in (bytes, str) and not fortran
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
