"""A row of the zoo, and its form for the built-in drawn data set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from kdet.config.augment import Augment
from kdet.config.data import Data
from kdet.config.models import SSD, DarkNet, ResNet, RetinaNet, YOLOv3
from kdet.config.rcnn import RCNN
from kdet.config.training import Optimizer, Schedule

Model = RetinaNet | RCNN | YOLOv3 | SSD


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

    Small canvas, norms that train, nothing frozen, mirrored images at most, a short schedule; the
    network's structure stays.
    """
    model = recipe.model
    if isinstance(model.backbone, ResNet):
        model = replace(model, backbone=replace(model.backbone, norm="batch", freeze_at=0))
    if isinstance(model, RCNN):
        model = replace(model, **_few_regions(model))
    deep = isinstance(model.backbone, DarkNet)  # learns slowest: more steps, on smaller images
    side = 300 if isinstance(model, SSD) else 96 if deep else 128  # SSD's six maps need their size
    data = replace(
        recipe.data,
        dataset="drawn",
        short_side=side,
        long_side=side,
        pad_to=128,
        canvases=(),
        augment=Augment(),
    )
    # from random weights, RMSProp (with momentum) needs a third of plain momentum's steps
    schedule = Schedule(
        images=2560,
        decay=(2080, 2400),
        rate=0.00004,
        batch=8,
        rate_batch=8,
        warmup=320,
        warmup_factor=0.05,  # its first averages are too small, its first steps too large
    )
    if isinstance(model, SSD | YOLOv3):  # norms everywhere
        schedule = replace(schedule, rate=0.0001)
    if deep:
        schedule = replace(schedule, images=3200, decay=(2700, 3050))
    if isinstance(model, RCNN):  # its heads see the truth's own boxes from the first step on
        schedule = replace(schedule, images=1280, decay=(1040, 1200))
    optimizer = replace(
        recipe.optimizer, kind="rmsprop", momentum=0.9, epsilon=1e-12, clip_norm=10.0
    )
    if isinstance(model, SSD):  # its rules slow down a backbone that has learnt already
        optimizer = replace(optimizer, rules=())
    return replace(recipe, model=model, data=data, schedule=schedule, optimizer=optimizer)


def _few_regions(model):
    """What a two-stage model needs where images hold at most five objects; its heads are slow."""
    proposals = 30 if model.neck == "c4" else 50
    return {
        "proposals_train": (200, 2 * proposals),
        "proposals_test": (200, proposals),
        "roi_batch": 16 if model.neck == "c4" else 32,
    }
