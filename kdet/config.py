"""What a recipe can say: frozen dataclasses, standard library only.

A recipe (`recipes/*.py`) is one `Recipe` value; it is the only source of what a zoo row is.
Sizes are (height, width) in pixels; lengths of a schedule are counted in images, so that another
batch size changes nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace


class ConfigError(ValueError):
    """A recipe, an override or a stored configuration says something impossible."""


def _one_of(config, name, allowed):
    value = getattr(config, name)
    if value not in allowed:
        options = ", ".join(map(repr, allowed))
        raise ConfigError(f"{type(config).__name__}.{name} must be one of {options}; got {value!r}")


# --------------------------------------------------------------------------- models


@dataclass(frozen=True)
class ResNet:
    """A residual backbone (He et al. 2015; variant d: He et al. 2018, "Bag of Tricks")."""

    depth: int = 50
    variant: str = "b"  # "b": stride in the 3x3 conv; "d": three-conv stem, pooled shortcut
    groups: int = 1
    group_width: int = 64  # channels per group in stage 2
    squeeze_excite: bool = False
    norm: str = (
        "frozen"  # "frozen": folded statistics | "batch": trains, synchronised over replicas
    )
    freeze_at: int = 2  # stages 1..freeze_at get no gradient

    def __post_init__(self):
        _one_of(self, "depth", (50, 101))
        _one_of(self, "variant", ("b", "d"))
        _one_of(self, "norm", ("frozen", "batch"))


R50, R101 = ResNet(50), ResNet(101)


@dataclass(frozen=True)
class RetinaNet:
    """RetinaNet (Lin et al. 2017): FPN levels P3-P7, two towers shared over the levels."""

    backbone: ResNet = R50
    num_classes: int = 80
    width: int = 256  # channels of the pyramid and the towers
    depth: int = 4  # convolutions per tower
    foreground_iou: float = 0.5
    background_iou: float = 0.4
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    smooth_l1_sigma: float = 3.0151134457776365  # quadratic below 1 / sigma^2 = 0.11
    score_threshold: float = 0.05  # the coarsest level keeps everything above 0
    pre_nms: int = 1000  # (anchor, class) pairs kept per level
    nms_iou: float = 0.5
    max_detections: int = 100
    clip_to: str = "canvas"  # "canvas": the padded image, as the reference | "image"

    def __post_init__(self):
        _one_of(self, "clip_to", ("canvas", "image"))


Model = RetinaNet

# ----------------------------------------------------------------------------- data


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

    def canvas_sizes(self) -> tuple[tuple[int, int], ...]:
        """The static shapes images are padded to, smallest area first.

        Derived: landscape and portrait, up to 4:3 and up to the long side.
        """
        if self.canvases:
            return tuple(sorted(self.canvases, key=lambda c: (c[0] * c[1], c)))
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


# ------------------------------------------------------------------------- training


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. `images`, `decay` and `warmup` count training images."""

    images: int
    decay: tuple[int, ...]  # images seen when the rate is multiplied by `gamma`
    rate: float  # learning rate at `rate_batch` images per step; scaled linearly to `batch`
    batch: int = 16  # images per step, all replicas together
    rate_batch: int = 16
    gamma: float = 0.1
    warmup: int = 8000
    warmup_factor: float = 1 / 3

    def __post_init__(self):
        for name in ("images", "batch", "rate_batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"Schedule.{name} must be at least 1, got {getattr(self, name)}")

    @property
    def steps(self) -> int:
        """Steps of the whole run at this batch size."""
        return math.ceil(self.images / self.batch)


def detectron(length: str, rate: float, **changes) -> Schedule:
    """The 1x and 2x schedules of the R-CNN tables: 90k or 180k steps of 16 images."""
    thousands = {"1x": (60, 80, 90), "2x": (120, 160, 180)}
    if length not in thousands:
        raise ConfigError(f"schedule must be one of {', '.join(thousands)}, got {length!r}")
    first, second, last = (16_000 * k for k in thousands[length])
    return Schedule(images=last, decay=(first, second), rate=rate, **changes)


@dataclass(frozen=True)
class Rule:
    """Exceptions for variables whose path matches `pattern` (`re.search`); first match wins."""

    pattern: str
    rate: float = 1.0  # multiplies the learning rate
    decay: float = 1.0  # multiplies the weight decay


# Biases outside the backbone: twice the rate, no decay. Trainable norms: no decay.
DETECTRON_RULES = (Rule(r"/(gamma|beta|scale|offset)$", 1.0, 0.0), Rule(r"/bias$", 2.0, 0.0))


@dataclass(frozen=True)
class Optimizer:
    """Momentum with the learning rate outside the buffer and coupled L2 decay."""

    momentum: float = 0.9
    decay: float = 1e-4
    clip_norm: float = 0.0  # global gradient norm; 0 turns clipping off
    rules: tuple[Rule, ...] = DETECTRON_RULES


@dataclass(frozen=True)
class Recipe:
    """One zoo row. `reference` holds published numbers, never ours."""

    name: str
    model: Model
    data: Data
    schedule: Schedule
    optimizer: Optimizer = Optimizer()
    reference: dict[str, float] = field(default_factory=dict)


def drawn(recipe: Recipe) -> Recipe:
    """The recipe changed to learn the built-in drawn data set from scratch in minutes.

    Small canvas, norms that train, nothing frozen, a short schedule; the network's structure stays.
    """
    model = replace(
        recipe.model, backbone=replace(recipe.model.backbone, norm="batch", freeze_at=0)
    )
    data = replace(
        recipe.data, dataset="drawn", short_side=128, long_side=128, pad_to=128, canvases=()
    )
    schedule = Schedule(
        images=4800, decay=(3600, 4400), rate=0.01, batch=8, rate_batch=8, warmup=400
    )
    return replace(
        recipe,
        model=model,
        data=data,
        schedule=schedule,
        optimizer=replace(recipe.optimizer, clip_norm=10.0),
    )


# --------------------------------------------------------------------------- labels


@dataclass(frozen=True)
class LabelMap:
    """Class names and their ids in the source data; label k is entry k of both.

    Labels are contiguous 0..K-1 everywhere in kdet; `ids` are only for files that go back out.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]

    def __post_init__(self):
        if len(self.names) != len(self.ids) or len(set(self.ids)) != len(self.ids):
            raise ConfigError(
                f"a label map needs one distinct id per name, got {len(self.names)} names "
                f"and ids {self.ids}"
            )

    def __len__(self):
        return len(self.names)

    def label_of(self, source_id: int) -> int:
        """Label of a source category id. Raises KeyError for an unknown id."""
        try:
            return self.ids.index(source_id)
        except ValueError:
            raise KeyError(f"category id {source_id} is not in the label map") from None
