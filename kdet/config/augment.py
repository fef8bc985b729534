"""How training images are changed."""

from __future__ import annotations

from dataclasses import dataclass

from kdet.config.checks import at_least, one_of
from kdet.errors import ConfigError


@dataclass(frozen=True)
class Augment:
    """Random changes of stretched training images; by default none. `docs/augmentation.md`.

    In the order they act: mixup, colour, expand, crop, (`Data.flip`,) resize, batch shape.
    """

    mixup: float = 0.0  # both parameters of the Beta that weighs two images; 0: no mixup
    mixup_images: int = 0  # training images after which mixup ends; 0: never
    # each of the four colour changes happens half the time
    brightness: float = 0.0  # b: factor 1 - b to 1 + b
    contrast: float = 0.0  # likewise
    contrast_about: str = "mean"  # what contrast leaves as it is: the "mean" grey, or "black"
    saturation: float = 0.0  # likewise, of the distance from grey
    hue: float = 0.0  # degrees to either side, around the grey axis; 180: any
    expand: float = 0.0  # probability of a larger frame around the image
    expand_ratio: float = 4.0  # largest frame, in sizes of the image
    fill: tuple[int, int, int] = (127, 127, 127)  # RGB of the frame
    crops: tuple[float, ...] = ()  # least IoU with a box, one crop tried for each; (): no crop
    crop_scale: tuple[float, float] = (0.3, 1.0)  # of the root of the area
    crop_aspect: tuple[float, float] = (0.5, 2.0)  # width / height, in units of the image's
    crop_clamps: bool = False  # aspects too long for the scale: clamped, or not drawn at all
    crop_tries: int = 50  # per entry of `crops`
    methods: tuple[str, ...] = ()  # of resizing, one drawn per image; (): Data.interpolation
    min_side: int = 0  # batches are this to Data.short_side wide in steps of 32; 0: short_side

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
                raise ConfigError(f"Augment.methods takes {', '.join(known)}; got {method!r}")
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ConfigError(f"Augment.crop_scale must rise within 0..1, got {self.crop_scale}")
        if not 0 < self.crop_aspect[0] <= 1 <= self.crop_aspect[1]:
            raise ConfigError(f"Augment.crop_aspect must enclose 1, got {self.crop_aspect}")


CROPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
