"""Colours of labels."""

from __future__ import annotations

import functools
import math

import numpy as np
from PIL import ImageColor

# The seven coloured entries of Okabe and Ito's palette stay apart under every common colour
# blindness. Labels from 7 on walk the hue circle by the golden angle.
PALETTE = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2")
OKLAB_TO_CONE = (
    (1, 0.3963377774, 0.2158037573),
    (1, -0.1055613458, -0.0638541728),
    (1, -0.0894841775, -1.2914855480),
)
CONE_TO_RGB = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)
GOLDEN_ANGLE = 180 * (3 - math.sqrt(5))
FIRST_HUE = 105  # degrees; keeps the first of them off the palette


@functools.lru_cache(maxsize=4096)
def colour(label: int) -> tuple[int, int, int]:
    """RGB 0..255 of a label; the same for every image and every run."""
    if label < len(PALETTE):
        return ImageColor.getrgb(PALETTE[label])
    lightness = (0.72, 0.56, 0.84)[label % 3]  # neighbours differ in lightness, not hue alone
    hue = math.radians(GOLDEN_ANGLE * label + FIRST_HUE)
    return _from_oklab(lightness, 0.13 * math.cos(hue), 0.13 * math.sin(hue))


def _from_oklab(lightness, a, b):
    """sRGB 0..255 of an OKLab colour (Ottosson 2020), out-of-gamut channels clipped."""
    cone = np.array(OKLAB_TO_CONE) @ [lightness, a, b]
    linear = np.clip(np.array(CONE_TO_RGB) @ cone**3, 0, 1)
    srgb = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return tuple(int(c) for c in np.round(255 * srgb))
