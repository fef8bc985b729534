"""The settings of data augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from kdet.config.checks import at_least, one_of
from kdet.errors import ConfigError


@dataclass(frozen=True)
class Augment:
    """Random changes of stretched training images; the default changes nothing.

    They act in this order: mixup, colour, expand, crop, `Data.flip`, resize, side of the batch.
    `docs/augmentation.md` shows each one.
    """

    mixup: float = 0.0  # a of the distribution Beta(a, a) of the mixup weight; 0 turns mixup off
    mixup_images: int = 0  # mixup stops after this many training images; 0: it never stops
    # each of the four colour changes is applied with probability 0.5
    brightness: float = 0.0  # b: the factor is drawn from 1 - b to 1 + b
    contrast: float = 0.0  # c: the factor is drawn from 1 - c to 1 + c
    contrast_about: str = "mean"  # the colour that contrast does not change: "mean" grey or "black"
    saturation: float = 0.0  # s: the distance from grey is multiplied by 1 - s to 1 + s
    hue: float = 0.0  # largest turn around the grey axis in degrees, both ways; 180: any hue
    expand: float = 0.0  # probability that the image is placed in a larger frame
    expand_ratio: float = 4.0  # largest ratio of a side of the frame to the image's side
    fill: tuple[int, int, int] = (127, 127, 127)  # RGB colour of the frame
    crops: tuple[float, ...] = ()  # smallest IoU with a box, one candidate crop each; (): no crop
    crop_scale: tuple[float, float] = (0.3, 1.0)  # range of sqrt(area of the crop / area)
    crop_aspect: tuple[float, float] = (0.5, 2.0)  # range of width / height, relative to the image
    crop_clamps: bool = False  # True clamps aspects too long for the scale; False never draws them
    crop_tries: int = 50  # attempts per entry of `crops`
    methods: tuple[str, ...] = ()  # resize methods, one drawn per image; (): Data.interpolation
    min_side: int = 0  # smallest side of a batch, up to short_side in steps of 32; 0: short_side

    def __post_init__(self):
        one_of(self, "contrast_about", ("mean", "black"))
        at_least(self, 0, "mixup", "mixup_images", "hue", "min_side")
        for name in ("brightness", "contrast", "saturation", "expand"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"Augment.{name} must be 0 to 1, got {getattr(self, name)}")
        at_least(self, 1, "expand_ratio", "crop_tries")
        known = ("nearest", "linear", "cubic", "area", "lanczos4", "lanczos")
        for method in self.methods:
            if method not in known:
                raise ConfigError(f"Augment.methods must be of {', '.join(known)}; got {method!r}")
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ConfigError(f"Augment.crop_scale needs 0 < low <= high <= 1: {self.crop_scale}")
        if not 0 < self.crop_aspect[0] <= 1 <= self.crop_aspect[1]:
            raise ConfigError(f"Augment.crop_aspect needs 0 < low <= 1 <= high: {self.crop_aspect}")


# the smallest IoUs of Liu et al. 2015; 0 is their random patch
CROPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
