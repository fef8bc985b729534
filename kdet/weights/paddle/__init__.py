"""Checkpoints of the reference system (Paddle 1.x): found, read, written.

checkpoint    the whole: a folder, a tar archive, one joined file, or a pickled dict
tensor, tar, pickle    the parts
names         the reference's names and layouts of variables
"""

from kdet.weights.paddle.checkpoint import Part, arrays, find, is_paddle, read, write

__all__ = ["Part", "arrays", "find", "is_paddle", "read", "write"]
