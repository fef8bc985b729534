"""Names and layouts of the reference's checkpoints (one array per variable)."""

import re

import numpy as np

# Rules for backbones and pyramids: variable path -> start of the reference's name. The first rule
# that matches is used. Layers of the backbones have the reference's own names, so only suffixes and
# norms differ. Families have more rules (`kdet.models.family.Family`).
COMMON_RULES = (
    (r"^fpn/lateral_5/", "fpn_inner_res5_sum_"),
    (r"^fpn/lateral_(\d)/", r"fpn_inner_res\1_sum_lateral_"),
    (r"^fpn/smooth_(\d)/", r"fpn_res\1_sum_"),
    (r"^([\w.]+\.(?:conv|bn))/", r"\1."),
    (r"^stem_(\d)/kernel$", r"conv1_\1_weights"),
    (r"^stem_(\d)(?:_bn)?/", r"conv1_\1_bn_"),
    (r"^(conv\d_\d+_(?:x\d|prj))/(?=scale|offset)", r"\1_bn_"),
    (r"^(fc\d_\d+_\w+)/kernel$", r"\1_weights"),
    (r"^(fc\d_\d+_\w+)/bias$", r"\1_offset"),
    (r"^res(\w+)/(?=scale|offset)", r"bn\1_"),
    (r"^conv1/(?=scale|offset)", "bn_conv1_"),
    (r"^conv(1_\d)/(?=scale|offset)", r"bnv\1_"),
    (r"^((?:res|conv)\w+)/kernel$", r"\1_weights"),
    (r"^(bn\w+|conv\w+_bn)/", r"\1_"),
    (r"^(conv\w+_dw)/", r"\1_bn_"),
)
# kernels whose input is a flattened feature map
FLATTENED = re.compile(r"^fc6(_\d)?_w$")
# names of DarkNet and of its head end in `.var`, and all others end in `_variance`
SUFFIXES = {
    ".conv.kernel": ".conv.weights",
    ".gamma": ".scale",
    ".beta": ".offset",
    ".moving_mean": ".mean",
    ".moving_variance": ".var",
    ".kernel": ".w_0",
    ".conv.bias": ".conv.bias",
    ".bias": ".b_0",
    "_kernel": "_w",
    "_bias": "_b",
    "_gamma": "_scale",
    "_beta": "_offset",
    "_moving_mean": "_mean",
    "_moving_variance": "_variance",
}


def reference_name(path, family_rules=()):
    """The reference's name of a variable, e.g. "fpn/smooth_3/kernel" -> "fpn_res3_sum_w".

    Args:
        path: path of the Keras variable.
        family_rules: (pattern, replacement) pairs that are tried before the common ones.
    Raises:
        KeyError: there is no rule for this path.
    """
    for pattern, replacement in (*family_rules, *COMMON_RULES):
        renamed, hits = re.subn(pattern, replacement, path)
        if hits:
            for ours, theirs in SUFFIXES.items():
                if renamed.endswith(ours):
                    return renamed.removesuffix(ours) + theirs
            return renamed
    raise KeyError(f"no reference name is known for the variable {path!r}")


def to_reference(array, name=""):
    """A Keras array in the reference's layout.

    Kernels (h, w, in, out) become (out, in, h, w). Depthwise kernels (h, w, C, 1) become
    (C, 1, h, w). The first dense layer of a box head reads 7 x 7 regions, which Keras flattens as
    (h, w, C) and the reference as (C, h, w), so its rows are reordered.

    Args:
        array: any shape.
        name: the reference's name, which shows whether a kernel is depthwise or flattened.
    """
    if FLATTENED.match(name):
        return array.reshape(7, 7, -1, array.shape[1]).transpose(2, 0, 1, 3).reshape(array.shape)
    if array.ndim != 4:
        return array
    return np.transpose(array, (2, 3, 0, 1) if _depthwise(name) else (3, 2, 0, 1))


def from_reference(array, name=""):
    """A Keras array from an array in the reference's layout. The inverse of `to_reference`."""
    if FLATTENED.match(name):
        return array.reshape(-1, 7, 7, array.shape[1]).transpose(1, 2, 0, 3).reshape(array.shape)
    if array.ndim != 4:
        return array
    return np.transpose(array, (2, 3, 0, 1) if _depthwise(name) else (2, 3, 1, 0))


def fold(scale, offset, mean, variance, epsilon=1e-5):
    """(scale, offset) of the frozen norm that equals a batch norm with these statistics.

    Pass float64 arrays: in float32 the difference `offset - mean * scale` loses digits.
    """
    scale = scale / np.sqrt(variance + epsilon)
    return scale, offset - mean * scale


def _depthwise(name):
    return name.endswith("_dw_weights")
