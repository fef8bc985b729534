"""Reading, writing, downloading and loading of weights.

npz            the file format of kdet's checkpoints
sources        which recipe and which file a detector is made from
download       downloads published files, each one once
addresses      the addresses of published files
paddle         checkpoints of the reference system
assign         assigns weights of the reference system to a network
match_classes  assigns weights of a kdet checkpoint to a network
"""
