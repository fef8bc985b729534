"""`.pdparams` files (Paddle 1.6 and later): a pickled dict of NumPy arrays, read as data.

Nothing is unpickled: the opcodes are followed by a small machine that knows plain containers and
the three calls by which NumPy describes an array. It imports nothing and calls nothing.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdet.weights.archive import ArchiveError, one_line
from kdet.weights.tensors import DTYPES, MOST_DIMS, Header


class Name(NamedTuple):
    """What a file calls a function or class."""

    module: str
    name: str


ARRAY = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
NDARRAY, DTYPE, ENCODE = ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")
ORDERED = ("collections", "OrderedDict")
KNOWN = ARRAY | {NDARRAY, DTYPE, ENCODE, ORDERED}
CONSTANTS = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (),
}  # fmt: skip
SCALARS = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BINSTRING", "SHORT_BINSTRING", "STRING",
}  # fmt: skip
# opcodes of long values: bytes before them, their encoding
LONG = {
    "BINUNICODE": (5, "utf-8"), "BINUNICODE8": (9, "utf-8"), "BINSTRING": (5, "latin1"),
    "BINBYTES": (5, None), "BINBYTES8": (9, None),
}  # fmt: skip
LARGE = 1 << 16  # from here on, values stay in the file until wanted
BROKEN = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError)


@dataclass
class Call:
    """A call that the file asks for; it is looked at, never made."""

    function: tuple[str, str]
    arguments: tuple
    state: tuple = field(default=())


@dataclass(frozen=True)
class Piece:
    """Bytes or text left in the file, since there may be gigabytes of it.

    Attributes:
        offset, size: bytes of the file.
        count: bytes of values that they mean.
        encoding: of text that means Latin-1 bytes; None: the bytes themselves.
    """

    offset: int
    size: int
    count: int
    encoding: str | None

    def __len__(self):
        return self.count


def read_pickle(path) -> dict[str, tuple[Header, bytes | str | Piece]]:
    """The arrays in a pickled dict.

    Args:
        path: the file.
    Returns:
        name -> (Header of length 0, values for `values_of`: bytes, or text that is them in Latin-1,
        or where they lie); what is no array is left out.
    Raises:
        ArchiveError: one line with the file and the tensor: anything but a dict of plain containers
            and arrays, or an array whose values do not have its size.
    """
    path = Path(path)
    with open(path, "rb") as file:
        try:
            stored = _run(_Bounded(file, path.stat().st_size), path)
        except ArchiveError:
            raise
        except BROKEN as error:
            reason = one_line(" ".join(str(error).split()), 100)
            raise ArchiveError(f"{path}: damaged or not a pickled dict: {reason}") from None
    if not isinstance(stored, dict):
        raise ArchiveError(f"{path}: expected a pickled dict, got {type(stored).__name__}")
    found = {}
    for name, value in stored.items():
        if isinstance(value, Call) and value.function in ARRAY:
            found[name] = _array(value, f"{path}: {one_line(name)}")
    return found


def values_of(path, header: Header, data: bytes | str | Piece) -> np.ndarray:
    """The array behind an entry of `read_pickle`. Raises ValueError: the file changed."""
    if isinstance(data, Piece):
        with open(path, "rb") as file:
            file.seek(data.offset)
            piece = file.read(data.size)
        data = piece if data.encoding is None else piece.decode(data.encoding, "surrogatepass")
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, header.dtype).reshape(header.shape)


class _Bounded:
    """A file that does not try to read more than it has."""

    def __init__(self, file, size):
        self.file, self.size = file, size

    def read(self, count):
        if not 0 <= count <= self.size - self.file.tell():
            raise ValueError("it ends early")
        return self.file.read(count)

    def readline(self):
        return self.file.readline(1000)

    def tell(self):
        return self.file.tell()


class _Stack(list):
    """What the machine works on; nothing below the last mark can be popped."""

    def __init__(self):
        super().__init__()
        self.marks = []

    def popped(self):
        if len(self) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("its stack is empty")
        return self.pop()

    def to_mark(self):
        at = self.marks.pop()
        items = self[at:]
        del self[at:]
        return items


def _run(file, path):
    stack, memo = _Stack(), {}
    for opcode, argument, start in pickletools.genops(file):
        code = opcode.name
        if code in SCALARS:
            stack.append(_kept(code, argument, start, file.tell()))
        elif code in CONSTANTS:
            stack.append(CONSTANTS[code])
        elif code in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if code == "EMPTY_DICT" else [])
        elif code in ("PROTO", "FRAME"):
            continue
        elif code == "MARK":
            stack.marks.append(len(stack))
        elif code in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"):
            memo[len(memo) if code == "MEMOIZE" else int(argument)] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[int(argument)])
        elif code == "GLOBAL":
            stack.append(_known(*argument.split(" ", 1), path))
        elif code == "STACK_GLOBAL":
            name, module = stack.popped(), stack.popped()
            stack.append(_known(module, name, path))
        elif code == "STOP":
            return stack.popped()
        elif not _combined(code, stack):
            raise ArchiveError(f"{path}: refused: no dict of arrays needs {code}")
    raise ValueError("it ends early")


def _combined(code, stack):
    """Runs an opcode that makes one thing of several; False for an unknown one."""
    if code == "TUPLE":
        stack.append(tuple(stack.to_mark()))
    elif code in ("TUPLE1", "TUPLE2", "TUPLE3"):
        stack.append(tuple([stack.popped() for _ in range(int(code[-1]))][::-1]))
    elif code in ("REDUCE", "NEWOBJ"):
        arguments, function = stack.popped(), stack.popped()
        # a name is a pair of texts; a nest of tuples would take forever to compare
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise ValueError("it calls what is no function")
        stack.append({} if function == ORDERED else Call(function, arguments))
    elif code == "BUILD":
        state = stack.popped()
        stack[-1].state = state
    elif code in ("SETITEM", "SETITEMS"):
        value = [stack.popped()] if code == "SETITEM" else None
        items = [stack.popped(), *value] if value else stack.to_mark()
        if not all(isinstance(key, str) for key in items[::2]) or len(items) % 2:
            raise ValueError("a dict in it has keys that are no text")
        stack[-1].update(zip(items[::2], items[1::2]))
    elif code in ("APPEND", "APPENDS"):
        items = [stack.popped()] if code == "APPEND" else stack.to_mark()
        stack[-1].extend(items)
    else:
        return False
    return True


def _kept(code, argument, start, end):
    """What an opcode brought, or where it lies, if it is long."""
    if code not in LONG or len(argument) < LARGE:
        return argument
    opening, encoding = LONG[code]
    return Piece(start + opening, end - start - opening, len(argument), encoding)


def _known(module, name, path):
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a name in it is no text")
    if (module, name) not in KNOWN:
        raise ArchiveError(f"{path}: refused: it asks for {one_line(f'{module}.{name}')}")
    return Name(module, name)


def _array(call, where):
    try:
        _, shape, kind, fortran, data = call.state
        sound = isinstance(kind.arguments[0], str)
        dtype = np.dtype(kind.arguments[0] if sound else "O").newbyteorder(kind.state[1])
        if isinstance(data, Call) and data.function == ENCODE and data.arguments[1:] == ("latin1",):
            data = data.arguments[0]
        sound = (
            sound
            and kind.function == DTYPE
            and isinstance(data, (bytes, str, Piece))
            and not fortran
        )
        sound = sound and isinstance(shape, tuple)
        sound = sound and len(shape) <= MOST_DIMS
        sound = sound and all(type(side) is int and 0 < side < 2**31 for side in shape)
    except (TypeError, ValueError, AttributeError, IndexError):
        sound = False
    if not sound or dtype.str not in DTYPES.values():
        raise ArchiveError(f"{where}: expected a plain numeric array")
    header = Header(dtype, shape, 0)
    if header.nbytes != len(data):
        raise ArchiveError(f"{where}: {shape} {dtype.name} but {len(data)} bytes of values")
    return header, data
