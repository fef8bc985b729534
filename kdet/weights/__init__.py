"""Weights on disk and from the network; NumPy only.

fetch, sources, lock    the reference's published files, once
paddle                  its checkpoints: described (`find`), then read (`arrays`), or written
tensors, tar, pickled   the forms they come in
names, fill             its names and layouts; its tensors into a network's variables
archive                 the one file a checkpoint of kdet is; see `kdet.train.checkpoint`
"""
