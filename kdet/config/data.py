"""What a model is fed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kdet.config.errors import one_of


@dataclass(frozen=True)
class Data:
    """What a model is fed: which data set, how images are sized, padded and augmented."""

    dataset: str = "coco"
    short_side: int = 800
    long_side: int = 1333  # the resized long side never exceeds it
    pad_to: int = 32  # canvases are multiples of it
    flip: float = 0.5  # probability of a mirrored training image
    max_boxes: int = 100  # truth boxes per training image, padded to this many
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # RGB, of image / 255
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    canvases: tuple[tuple[int, int], ...] = ()  # (height, width); empty: derived from the above
    resize: str = "scale"  # "scale": by one factor, padded | "stretch": both to the short side
    channels: str = "RGB"  # order of the image and of mean and std: "RGB" | "BGR"

    def __post_init__(self):
        one_of(self, "resize", ("scale", "stretch"))
        one_of(self, "channels", ("RGB", "BGR"))

    def canvas_sizes(self) -> tuple[tuple[int, int], ...]:
        """The static shapes images are padded to, smallest area first.

        Derived: landscape and portrait, up to 4:3 and up to the long side.
        """
        if self.canvases:
            return tuple(sorted(self.canvases, key=lambda c: (c[0] * c[1], c)))
        if self.resize == "stretch":
            return ((self.short_side, self.short_side),)
        short, middle, long = (
            math.ceil(side / self.pad_to) * self.pad_to
            for side in (
                self.short_side,
                min(math.ceil(self.short_side * 4 / 3), self.long_side),
                self.long_side,
            )
        )
        sizes = {(short, middle), (short, long), (middle, short), (long, short)}
        return tuple(sorted(sizes, key=lambda c: (c[0] * c[1], c)))


def coco(**changes) -> Data:
    """COCO as the R-CNN and RetinaNet rows see it: 800 / 1333, mirrored half the time."""
    return Data(**changes)


def stretched(side: int, **changes) -> Data:
    """Images made `side` by `side` whatever their shape, as the YOLO and SSD rows see them."""
    return Data(**{"short_side": side, "long_side": side, "resize": "stretch", **changes})
