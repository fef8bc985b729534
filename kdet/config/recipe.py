"""What a recipe says: the model, the data, the schedule and the optimizer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from kdet.config.augment import Augment
from kdet.config.checks import at_least, one_of
from kdet.errors import ConfigError


class ModelConfig:
    """Base of the families' configs. Each one has the fields `backbone` and `num_classes`."""


@dataclass(frozen=True)
class Data:
    """Which data set a model reads, and how its images are resized, padded and augmented."""

    dataset: str = "coco"
    short_side: int = 800
    long_side: int = 1333  # the resized long side never exceeds it
    pad_to: int = 32  # canvases are multiples of it
    flip: float = 0.5  # probability of mirroring a training image
    max_boxes: int = 100  # ground-truth boxes per training image; fewer are padded to this many
    max_edges: int = 0  # edges of an object's outline, thinned to fit; 0: masks are not read
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # RGB, of image / 255
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    canvases: tuple[tuple[int, int], ...] = ()  # (height, width); empty: derived from the above
    resize: str = "scale"  # "scale": by one factor, padded | "stretch": both sides to short_side
    channels: str = "RGB"  # order of the image and of mean and std: "RGB" | "BGR"
    interpolation: str = "linear"  # of "stretch": OpenCV's "linear" | "cubic", Pillow's "lanczos"
    corners: str = "inclusive"  # boxes scale by their last pixels ("inclusive") or by their "edges"
    truncate_boxes: bool = False  # True drops objects beyond max_boxes; False refuses the data set
    augment: Augment = Augment()  # of training images; needs resize="stretch"

    def __post_init__(self):
        one_of(self, "resize", ("scale", "stretch"))
        one_of(self, "channels", ("RGB", "BGR"))
        one_of(self, "interpolation", ("linear", "cubic", "lanczos"))
        one_of(self, "corners", ("inclusive", "edges"))
        if self.max_edges and self.max_edges < 3:
            raise ConfigError(f"Data.max_edges must be 0 or at least 3; got {self.max_edges}")
        if self.resize == "stretch" and self.canvases:
            raise ConfigError("Data.canvases must be empty when Data.resize is 'stretch'")
        if self.resize == "scale" and self.augment != Augment():
            raise ConfigError("Data.augment needs Data.resize='stretch'")
        if self.resize == "scale" and self.interpolation != "linear":
            raise ConfigError(
                "Data.interpolation must be 'linear' when Data.resize is 'scale'; "
                f"got {self.interpolation!r}"
            )

    def canvas_sizes(self) -> tuple[tuple[int, int], ...]:
        """The static shapes that images are padded to, (height, width), smallest area first.

        If `canvases` is empty: landscape and portrait, with sides up to 4:3 and up to long_side.
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

    def train_sides(self) -> tuple[int, ...]:
        """Sides of stretched training batches, smallest first; each batch draws one."""
        least = min(self.augment.min_side or self.short_side, self.short_side)
        return tuple(range(self.short_side, least - 1, -32))[::-1]


def coco_data(**changes) -> Data:
    """COCO as the R-CNN and RetinaNet rows read it: 800 / 1333, mirrored half the time."""
    return Data(**changes)


def stretched_data(side: int, **changes) -> Data:
    """Every image resized to `side` by `side`, whatever its shape."""
    return Data(**{"short_side": side, "long_side": side, "resize": "stretch", **changes})


@dataclass(frozen=True)
class Schedule:
    """How long to train and at which learning rate. Lengths are counted in training images."""

    images: int  # length of the whole run
    milestones: tuple[int, ...]  # images seen when the learning rate is multiplied by `gamma`
    base_lr: float  # learning rate at `base_batch` images per step; scaled linearly to `batch`
    batch: int = 16  # images per step, all replicas together
    base_batch: int = 16
    gamma: float = 0.1
    warmup_images: int = 8000
    warmup_factor: float = 1 / 3  # the warm-up starts at this share of the learning rate
    milestone_factors: tuple[float, ...] = ()  # of the rate after each milestone; empty: `gamma`

    def __post_init__(self):
        at_least(self, 1, "images", "batch", "base_batch")
        if self.milestone_factors and len(self.milestone_factors) != len(self.milestones):
            raise ConfigError(
                "Schedule.milestone_factors must be empty or hold one number per milestone "
                f"({len(self.milestones)}); got {len(self.milestone_factors)}"
            )

    @property
    def steps(self) -> int:
        """Steps of the whole run at this batch size."""
        return math.ceil(self.images / self.batch)


def detectron(length: str, base_lr: float, **changes) -> Schedule:
    """Detectron's schedules: 1x is 90k steps of 16 images, 2x is 180k, s1x is 130k."""
    thousands = {"1x": (60, 80, 90), "2x": (120, 160, 180), "s1x": (100, 120, 130)}
    if length not in thousands:
        raise ConfigError(f"schedule must be one of {', '.join(thousands)}; got {length!r}")
    first, second, last = (16_000 * k for k in thousands[length])
    return Schedule(images=last, milestones=(first, second), base_lr=base_lr, **changes)


@dataclass(frozen=True)
class ParamGroup:
    """Settings of the variables whose path matches `pattern` (`re.search`); first match wins."""

    pattern: str
    lr_multiplier: float = 1.0
    weight_decay_multiplier: float = 1.0


# Detectron: trainable norms do not decay; biases outside of the backbone learn at twice the rate
# and do not decay.
DETECTRON_GROUPS = (
    ParamGroup(r"/(gamma|beta|scale|offset)$", 1.0, 0.0),
    ParamGroup(r"/bias$", 2.0, 0.0),
)


@dataclass(frozen=True)
class Optimizer:
    """Momentum with the learning rate outside the buffer, or RMSProp; coupled L2 weight decay."""

    kind: str = "momentum"  # "momentum" | "rmsprop": not centred, epsilon inside the root
    momentum: float = 0.9
    rho: float = 0.95  # RMSProp: decay rate of the mean square
    epsilon: float = 1e-6  # RMSProp
    weight_decay: float = 1e-4
    clip_norm: float = 0.0  # limit of the global gradient norm; 0 turns clipping off
    param_groups: tuple[ParamGroup, ...] = DETECTRON_GROUPS

    def __post_init__(self):
        one_of(self, "kind", ("momentum", "rmsprop"))


@dataclass(frozen=True)
class Recipe:
    """One row of the zoo. `reference` holds published numbers, never kdet's own."""

    name: str
    model: ModelConfig
    data: Data
    schedule: Schedule
    optimizer: Optimizer = Optimizer()
    reference: dict[str, float] = field(default_factory=dict)
