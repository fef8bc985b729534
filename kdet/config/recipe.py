"""The parts of a recipe: the model, the data, the schedule and the optimizer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from kdet.config.augment import Augment
from kdet.config.checks import at_least, one_of
from kdet.errors import ConfigError


class ModelConfig:
    """Base class of all model configs. Each has the fields `backbone` and `num_classes`.

    The methods say what commands have to know of a family before Keras is imported. Families with
    other answers override them.
    """

    def synthetic(self, recipe: Recipe) -> Recipe:
        """The recipe for the built-in synthetic data set. `recipe` has this config."""
        from kdet.config.synthetic import synthetic_recipe  # here, because it imports this module

        return synthetic_recipe(recipe)

    def start_weights(self) -> str | None:
        """File name of the published weights that training starts from.

        None stands for the backbone's ImageNet weights.
        """
        return None

    def fits_int8(self) -> bool:
        """Whether exports in 8-bit integers are nearly as good, which was measured."""
        return False

    def needs_masks(self) -> bool:
        """Whether training uses the masks of the objects."""
        return False


@dataclass(frozen=True)
class Data:
    """The data set of a model, and how its images are resized, padded and augmented."""

    RENAMED = {
        "keep_first": "truncate_boxes",
    }

    dataset: str = "coco"  # "coco" | "voc" | "synthetic"; "voc" is evaluated with VOC's metric
    short_side: int = 800  # pixels
    long_side: int = 1333  # largest long side after resizing, pixels
    pad_to: int = 32  # sides of canvases are multiples of this
    flip: float = 0.5  # probability that a training image is mirrored
    max_boxes: int = 100  # ground-truth boxes per training image; fewer are padded to this number
    max_edges: int = 0  # largest number of edges of an object's outline; 0: masks are not read
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # per channel, of image / 255
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)  # per channel, of image / 255
    canvases: tuple[tuple[int, int], ...] = ()  # (height, width); empty: see `canvas_sizes`
    resize: str = "scale"  # "scale": by one factor, padded | "stretch": both sides to short_side
    channels: str = "RGB"  # channel order of the input, of mean and of std: "RGB" | "BGR"
    interpolation: str = "linear"  # for "stretch": OpenCV's "linear" | "cubic", Pillow's "lanczos"
    corners: str = "inclusive"  # what is scaled: the last pixel ("inclusive") | "edges" of the box
    truncate_boxes: bool = False  # True drops objects beyond max_boxes; False refuses the data set
    augment: Augment = Augment()  # for training images; needs resize="stretch"
    repeat_threshold: float = 0.0  # classes in a smaller share of the images are repeated; 0: none
    shuffle_window: int = 0  # shuffle so many images, shard after shard, for data at a URL; 0: all

    def __post_init__(self):
        at_least(self, 0, "shuffle_window")
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

    @property
    def metric(self) -> str:
        """The metric of this data set: "coco" or "voc"."""
        return "voc" if self.dataset == "voc" else "coco"

    def pixel_scale(self) -> tuple[list[float], list[float]]:
        """(scale, offset), one number per channel: pixel * scale + offset normalises 0..255."""
        scale = [1 / (255 * s) for s in self.std]
        return scale, [-m / s for m, s in zip(self.mean, self.std)]

    def canvas_sizes(self) -> tuple[tuple[int, int], ...]:
        """The static shapes that images are padded to: (height, width), smallest area first.

        If `canvases` is empty, there are two landscape and two portrait shapes. One of each is for
        images up to 4:3, the other is for images up to long_side.
        """
        # Few shapes: XLA compiles the training step once for every canvas.
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
        """The sides of stretched training batches, smallest first. One is drawn for each batch."""
        least = min(self.augment.min_side or self.short_side, self.short_side)
        return tuple(range(self.short_side, least - 1, -32))[::-1]


def coco_data(**changes) -> Data:
    """The data settings of the R-CNN and RetinaNet rows on COCO, which are `Data`'s defaults."""
    return Data(**changes)


def stretched_data(side: int, **changes) -> Data:
    """Data settings that resize every image to `side` x `side`, whatever its aspect ratio."""
    return Data(**{"short_side": side, "long_side": side, "resize": "stretch", **changes})


@dataclass(frozen=True)
class Schedule:
    """The length of training and the learning rate. Lengths are counted in training images."""

    RENAMED = {
        "decay": "milestones",
        "rate": "base_lr",
        "rate_batch": "base_batch",
        "warmup": "warmup_images",
        "factors": "milestone_factors",
    }

    images: int  # length of the whole run
    milestones: tuple[int, ...]  # images seen when the learning rate is multiplied by `gamma`
    base_lr: float  # learning rate at `base_batch` images per step; scaled linearly to `batch`
    batch: int = 16  # images per step, all replicas together
    base_batch: int = 16
    gamma: float = 0.1
    warmup_images: int = 8000  # length of the warm-up
    warmup_factor: float = 1 / 3  # the warm-up starts at this share of the learning rate
    milestone_factors: tuple[float, ...] = ()  # of the rate after each milestone; empty: `gamma`
    decay_kind: str = "step"  # "step": at the milestones | "cosine": from the warm-up to the end
    accumulate: int = 1  # parts of a batch that are computed one after the other, to save memory

    def __post_init__(self):
        at_least(self, 1, "images", "batch", "base_batch", "accumulate")
        one_of(self, "decay_kind", ("step", "cosine"))
        if self.batch % self.accumulate:
            raise ConfigError(
                f"Schedule.batch must be a multiple of Schedule.accumulate; got {self.batch} and "
                f"{self.accumulate}"
            )
        if self.milestone_factors and len(self.milestone_factors) != len(self.milestones):
            raise ConfigError(
                "Schedule.milestone_factors must be empty or hold one number per milestone "
                f"({len(self.milestones)}); got {len(self.milestone_factors)}"
            )

    @property
    def steps(self) -> int:
        """The number of steps of the whole run at this batch size."""
        return math.ceil(self.images / self.batch)

    def shortened(self, images: int) -> Schedule:
        """The same schedule for another number of images, with a warm-up of a tenth at most."""
        share = images / self.images
        return replace(
            self,
            images=images,
            milestones=tuple(round(milestone * share) for milestone in self.milestones),
            warmup_images=min(self.warmup_images, images // 10),
        )


def detectron(length: str, base_lr: float, **changes) -> Schedule:
    """A schedule of Detectron: 1x has 90k steps of 16 images, 2x has 180k, s1x has 130k."""
    thousands = {"1x": (60, 80, 90), "2x": (120, 160, 180), "s1x": (100, 120, 130)}
    if length not in thousands:
        raise ConfigError(f"schedule must be one of {', '.join(thousands)}; got {length!r}")
    first, second, last = (16_000 * k for k in thousands[length])
    return Schedule(images=last, milestones=(first, second), base_lr=base_lr, **changes)


@dataclass(frozen=True)
class ParamGroup:
    """Settings of the variables whose path matches `pattern`. The first matching group counts."""

    RENAMED = {
        "rate": "lr_multiplier",
        "decay": "weight_decay_multiplier",
    }

    pattern: str  # a regular expression for `re.search`
    lr_multiplier: float = 1.0
    weight_decay_multiplier: float = 1.0


# As in Detectron: norms have no weight decay. Biases have no weight decay and twice the learning
# rate, except in a backbone (see `SENET_GROUPS`).
DETECTRON_GROUPS = (
    ParamGroup(r"/(gamma|beta|scale|offset)$", 1.0, 0.0),
    ParamGroup(r"/bias$", 2.0, 0.0),
)


@dataclass(frozen=True)
class Optimizer:
    """SGD with momentum, or RMSProp. `kdet.train.optimizer` gives the formulas."""

    RENAMED = {
        "decay": "weight_decay",
        "rules": "param_groups",
    }

    kind: str = "momentum"  # "momentum" | "rmsprop" (not centred)
    momentum: float = 0.9
    rho: float = 0.95  # RMSProp: decay rate of the mean square
    epsilon: float = 1e-6  # RMSProp: added to the mean square, inside the root
    weight_decay: float = 1e-4  # L2, added to the gradient (coupled)
    clip_norm: float = 0.0  # limit of the global gradient norm; 0 turns clipping off
    ema_decay: float = 0.0  # decay of the moving average of the weights; 0 turns it off
    param_groups: tuple[ParamGroup, ...] = DETECTRON_GROUPS

    def __post_init__(self):
        one_of(self, "kind", ("momentum", "rmsprop"))


@dataclass(frozen=True)
class Recipe:
    """One row of the zoo. `reference` holds published metrics, never metrics measured by kdet."""

    name: str
    model: ModelConfig
    data: Data
    schedule: Schedule
    optimizer: Optimizer = Optimizer()
    reference: dict[str, float] = field(default_factory=dict)
