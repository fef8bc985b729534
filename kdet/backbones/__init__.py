"""(B, H, W, 3) -> {"C2": ..., "C5": ...}: functional Keras networks, strides 2^level."""
