"""Weights on disk: the archive format of checkpoints.

`archive` reads and writes the one file a checkpoint is; it needs NumPy alone. What a training run
stores in such a file stands in `kdet.train.checkpoint`.
"""
