"""Reads and writes checkpoints of the reference system (Paddle 1.x).

checkpoint    all forms: a folder, a tar archive, one file of all variables, a pickled dict
tensor        the file format of one tensor
tar, pickle   archives and pickled dicts
names         the reference's names and layouts of variables
"""

from kdet.weights.paddle.checkpoint import Part, arrays, find, is_paddle, read, write

__all__ = ["Part", "arrays", "find", "is_paddle", "read", "write"]
