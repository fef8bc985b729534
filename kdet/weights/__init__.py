"""Weights on disk and from the network.

npz         the one file that a checkpoint of kdet is
download    published files, fetched once; addresses: where they are
paddle      checkpoints of the reference system
assign      stored weights into the variables of a network
"""
