"""Names and layouts of the reference's checkpoints (one array per variable)."""

import re

import numpy as np

# our variable path -> the reference's name; first match wins. Layers of the backbones keep the
# reference's own names, so only suffixes and norms differ there.
RULES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^fpn/lateral_5/", "fpn_inner_res5_sum_"),
        (r"^fpn/lateral_(\d)/", r"fpn_inner_res\1_sum_lateral_"),
        (r"^fpn/smooth_(\d)/", r"fpn_res\1_sum_"),
        (r"^fpn/coarse_(\d)/", r"fpn_\1_"),
        (r"^retina_head/class_tower_(\d)/", r"retnet_cls_conv_n\1_fpn3_"),
        (r"^retina_head/class_output/", "retnet_cls_pred_fpn3_"),
        (r"^retina_head/box_tower_(\d)/", r"retnet_bbox_conv_n\1_fpn3_"),
        (r"^retina_head/box_output/", "retnet_bbox_pred_fpn3_"),
        (r"^res(\w+)/(?=scale|offset)", r"bn\1_"),
        (r"^conv1/(?=scale|offset)", "bn_conv1_"),
        (r"^conv(1_\d)/(?=scale|offset)", r"bnv\1_"),
        (r"^(res\w+|conv1(?:_\d)?)/kernel$", r"\1_weights"),
        (r"^(bn\w+)/", r"\1_"),
    )
)
SUFFIXES = {
    "_kernel": "_w",
    "_bias": "_b",
    "_gamma": "_scale",
    "_beta": "_offset",
    "_moving_mean": "_mean",
    "_moving_variance": "_variance",
}


def reference_name(path):
    """The reference's name of a variable, e.g. "fpn/smooth_3/kernel" -> "fpn_res3_sum_w".

    Raises:
        KeyError: no rule for this path.
    """
    for pattern, name in RULES:
        renamed, hits = pattern.subn(name, path)
        if hits:
            for ours, theirs in SUFFIXES.items():
                if renamed.endswith(ours):
                    return renamed.removesuffix(ours) + theirs
            return renamed
    raise KeyError(f"no reference name is known for the variable {path!r}")


def to_reference(array):
    """A Keras array in the reference's layout: kernels (h, w, in, out) become (out, in, h, w)."""
    return np.transpose(array, (3, 2, 0, 1)) if array.ndim == 4 else array


def from_reference(array):
    """The inverse of `to_reference`."""
    return np.transpose(array, (2, 3, 1, 0)) if array.ndim == 4 else array
