"""Masks as pixels of an image and as run lengths."""

from kdet.masks.paste import fill_outlines, paste_mask, paste_masks
from kdet.masks.rle import encode_mask, mask_from_runs, runs_from_mask, runs_from_string

__all__ = [
    "encode_mask",
    "fill_outlines",
    "mask_from_runs",
    "paste_mask",
    "paste_masks",
    "runs_from_mask",
    "runs_from_string",
]
