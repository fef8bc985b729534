"""What a model is fed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kdet.config.augment import Augment, ssd_augment, yolo_augment
from kdet.config.errors import ConfigError, one_of


@dataclass(frozen=True)
class Data:
    """What a model is fed: which data set, how images are sized, padded and augmented."""

    dataset: str = "coco"
    short_side: int = 800
    long_side: int = 1333  # the resized long side never exceeds it
    pad_to: int = 32  # canvases are multiples of it
    flip: float = 0.5  # probability of a mirrored training image
    max_boxes: int = 100  # truth boxes per training image, padded to this many
    max_edges: int = 0  # edges of an object's outline, thinned to fit; 0: masks are not read
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # RGB, of image / 255
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    canvases: tuple[tuple[int, int], ...] = ()  # (height, width); empty: derived from the above
    resize: str = "scale"  # "scale": by one factor, padded | "stretch": both to the short side
    channels: str = "RGB"  # order of the image and of mean and std: "RGB" | "BGR"
    interpolation: str = "linear"  # of "stretch": OpenCV's "linear" | "cubic", Pillow's "lanczos"
    corners: str = "inclusive"  # what scales in boxes: the last pixels inside, or their "edges"
    keep_first: bool = False  # objects beyond max_boxes: left out, instead of refusing the data
    augment: Augment = Augment()  # of training images, where "stretch"

    def __post_init__(self):
        one_of(self, "resize", ("scale", "stretch"))
        one_of(self, "channels", ("RGB", "BGR"))
        if self.max_edges and self.max_edges < 3:
            raise ConfigError(f"Data.max_edges must be 0 or at least 3, got {self.max_edges}")
        one_of(self, "interpolation", ("linear", "cubic", "lanczos"))
        one_of(self, "corners", ("inclusive", "edges"))
        if self.resize == "stretch" and self.canvases:
            raise ConfigError("Data.canvases must be empty where Data.resize is 'stretch'")
        if self.resize == "scale" and self.augment != Augment():
            raise ConfigError("Data.augment needs Data.resize='stretch'")
        if self.resize == "scale" and self.interpolation != "linear":
            raise ConfigError(
                "Data.interpolation must be 'linear' where Data.resize is 'scale'; "
                f"got {self.interpolation!r}"
            )

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

    def sides(self) -> tuple[int, ...]:
        """Sides of stretched training batches, smallest first; each batch draws one."""
        least = min(self.augment.min_side or self.short_side, self.short_side)
        return tuple(range(self.short_side, least - 1, -32))[::-1]


def coco(**changes) -> Data:
    """COCO as the R-CNN and RetinaNet rows see it: 800 / 1333, mirrored half the time."""
    return Data(**changes)


def stretched(side: int, **changes) -> Data:
    """Images made `side` by `side` whatever their shape, as the YOLO and SSD rows see them."""
    return Data(**{"short_side": side, "long_side": side, "resize": "stretch", **changes})


def yolo_data(**changes) -> Data:
    """COCO as the YOLOv3 rows see it: 608 by 608, the first 50 objects."""
    settings = {"interpolation": "cubic", "max_boxes": 50, "keep_first": True}
    settings["augment"] = yolo_augment()
    return stretched(608, **{**settings, **changes})


def ssd_data(**changes) -> Data:
    """VOC as the SSD row sees it: 300 by 300, BGR, (pixel - 127.5) / 127.502231."""
    grey = {"channels": "BGR", "mean": (0.5,) * 3, "std": (127.502231 / 255,) * 3}
    settings = {"dataset": "voc", "interpolation": "lanczos", "corners": "edges", "max_boxes": 64}
    settings["augment"] = ssd_augment()
    return stretched(300, **{**settings, **grey, **changes})
