"""The plan of a run on people's own data: settings that fit the data set, and reasons for them.

The published recipes are made for COCO or VOC and for hundreds of thousands of steps. A plan
changes the size of the images, the anchors, the counts, the length and the learning rate.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from kdet.config import Recipe, ResNet, Schedule
from kdet.config.labels import COCO_LABELS, VOC_LABELS
from kdet.config.synthetic import trained_backbone
from kdet.data.records import Records
from kdet.data.repeats import repeat_factors
from kdet.data.statistics import MOST_RECORDS, Statistics, read_statistics
from kdet.models.anchor_fit import Objects
from kdet.models.families import family_of
from kdet.train import checkpoint
from kdet.train.cli import with_options
from kdet.train.image_size import describe_size, fitted_size, smallest_side
from kdet.train.start import start_kind

# learning rate of RMSProp at 16 images per step; its momentum of 0.9 makes each step ten times as
# large. A detector should change less than a backbone, and deep random networks diverge sooner.
RATES = {"detector": 1e-4, "backbone": 2e-4, "nothing": 1e-4}
STEPS = 500  # wanted number of steps of a short run; the batch is chosen for it
SEEN = 60  # default number of passes over a small data set
IMAGES = (6_000, 30_000)  # limits of the default length in images
EDGES = (16, 128)  # limits of the edges of an outline; longer outlines are simplified
PASSES = 12  # but at least so many passes
RARE = 0.3  # classes in a smaller share of the images are seen more often


def recipe_of_run(row: Recipe, records: Records, options, source=None, replicas: int = 1):
    """The recipe of a run, and lines to print.

    A run that is resumed keeps its stored recipe. A run with --data gets a plan. The settings of
    the command line come last.

    Args:
        row: a row of the zoo, or its form for the synthetic data set.
        records: the training records.
        options: `kdet.train.cli.Options`.
        source: the `kdet.Detector` whose weights are trained, or None for those of `options.init`.
        replicas: number of replicas, of which a chosen batch is a multiple.
    """
    last, lines = Path(options.out) / "last.npz", []
    if options.resume and last.exists():
        stored = checkpoint.stored_recipe(last)
        row = stored if stored.name == row.name else row
    elif options.data:
        if source is None:
            start = start_kind(options.init, row)
        else:
            start = "detector" if source.trained else "nothing"
        multiple = replicas * (options.accumulate or 1)
        settings = options.epochs, options.batch, options.fit_data, multiple
        row, lines = make_plan(row, records, start, *settings)
        if any(setting.startswith("schedule.milestones=") for setting in options.overrides):
            row = replace(row, schedule=replace(row.schedule, decay_kind="step"))
    return with_options(row, options), lines


def is_published_data(records: Records) -> bool:
    """Whether the classes are those of COCO or of VOC, so that the published settings fit."""
    return set(records.labels.names) in (set(COCO_LABELS.names), set(VOC_LABELS.names))


def make_plan(
    recipe: Recipe, records: Records, start, epochs=None, batch=None, fit=None, multiple=1
):
    """The recipe with settings for a data set, and the reasons for them.

    Args:
        recipe: a row of the zoo.
        records: the training records.
        start: what the weights start from: "detector", "backbone" or "nothing".
        epochs: passes over the data. None chooses a number for a small data set.
        batch: images per step. None keeps that of the row, or chooses one if `fit`.
        fit: whether to fit the settings to the data. None does so unless the classes are those of
            COCO or VOC.
        multiple: a batch that is chosen is a multiple of this.
    Returns:
        The recipe, and a list of lines to print.
    """
    lines = []
    fit = not is_published_data(records) if fit is None else fit
    if batch is not None:
        recipe = replace(recipe, schedule=replace(recipe.schedule, batch=batch))
    if not fit:
        schedule = recipe.schedule
        if epochs is not None:
            schedule = schedule.shortened(epochs * len(records))
            lines.append(f"schedule of the row, shortened to {epochs} epochs (--epochs)")
        elif schedule.images > 1000 * len(records):
            lines.append(
                f"the row's schedule is {schedule.images // len(records)} epochs of this data "
                "set; --epochs shortens it"
            )
        return replace(recipe, schedule=schedule), lines
    statistics = read_statistics(records, masks=bool(recipe.data.max_edges))
    recipe, more = fitted_to_data(recipe, statistics, start)
    lines += more
    recipe, more = fitted_schedule(recipe, len(records), start, epochs, batch, multiple)
    return recipe, lines + more


def fitted_to_data(recipe: Recipe, statistics: Statistics, start: str):
    """The recipe with image size, anchors and counts for a data set, and the reasons.

    Args: see `make_plan`.
    """
    family, model, lines = family_of(recipe.model), recipe.model, []
    data = fitted_size(recipe.data, statistics, family.smallest_object)
    before, after = describe_size(recipe.data), describe_size(data)
    kept = before == after
    lines.append(
        f"images {after}{' as in the row' if kept else f' (row: {before})'}: a small object has "
        f"{smallest_side(statistics, data):.0f} pixels"
    )
    if family.best_iou is not None and len(statistics.boxes):
        objects, row = Objects.of(statistics, data), Objects.of(statistics, recipe.data)
        before = row.describe(family.best_iou(model, row))
        found = family.fit_anchors(model, objects)
        same = " of the row" if found == model else ""
        model = found
        after = objects.describe(family.best_iou(model, objects))
        lines.append(f"anchors{same}: {after}; with the row's settings: {before}")
    most = int(statistics.counts.max(initial=1))
    data = replace(data, max_boxes=max(math.ceil(most / 8) * 8, 8), truncate_boxes=False)
    lines.append(f"at most {data.max_boxes} objects per image, because one image has {most}")
    if data.max_edges:
        data = replace(data, max_edges=fitted_edges(statistics.edges))
        lines.append(
            f"outlines of at most {data.max_edges} edges; "
            f"{(statistics.edges <= data.max_edges).mean():.0%} of the objects need no more"
        )
    most = rare_factor(statistics)
    if most > 1:
        data = replace(data, repeat_threshold=RARE)
        lines.append(
            f"images with a class that is in less than {RARE:.0%} of the images are seen up to "
            f"{most:.1f} times as often"
        )
    width = getattr(model, "width", None)
    model = family.fit_settings(model, statistics, data, start)
    if start == "nothing":
        model = trained_backbone(model)
        if isinstance(model.backbone, ResNet):
            lines.append("all stages and norms of the backbone are trained: it starts from nothing")
    if getattr(model, "width", None) != width:
        lines.append("pyramid and heads half as wide: small images, and nothing is pretrained")
    if data.resize == "stretch":
        data = replace(data, augment=milder(data.augment))
    return replace(recipe, model=model, data=data), lines


def fitted_edges(edges) -> int:
    """The edges that the outlines of 99 of 100 objects have at most, within sensible limits."""
    wanted = np.percentile(edges, 99) if len(edges) else 0
    return int(np.clip(math.ceil(wanted / 16) * 16, *EDGES))


def rare_factor(statistics: Statistics) -> float:
    """How often an epoch repeats the images with the rarest class; 1 for large data sets."""
    if len(statistics.sizes) > MOST_RECORDS:  # of which not all objects were read
        return 1.0
    return float(repeat_factors(statistics, RARE).max(initial=1.0))


def milder(augment):
    """The augmentation without the parts that need long schedules."""
    return replace(
        augment,
        mixup=0.0,
        hue=min(augment.hue, 25.0),
        expand_ratio=min(augment.expand_ratio, 2.0),
        min_side=0,
    )


def fitted_schedule(recipe: Recipe, count: int, start: str, epochs=None, batch=None, multiple=1):
    """The recipe with a schedule and an optimizer for a short run, and the reasons.

    Args:
        count: number of training images.
        recipe, start, epochs, batch, multiple: see `make_plan`.
    """
    row, row_groups = recipe.schedule, recipe.optimizer.param_groups
    why = "--epochs"
    if epochs is None:
        images = min(max(count * SEEN, IMAGES[0]), IMAGES[1])
        epochs = math.ceil(min(max(images, count * PASSES), row.images) / count)
        why = f"chosen for {count} images; --epochs changes it"
    images = epochs * count
    if batch is None:
        batch = 2 ** max(int(math.log2(max(images / STEPS, 1))), 2)
        batch = math.ceil(min(batch, row.batch) / multiple) * multiple
    rate = RATES[start] * (batch / 16) ** 0.5
    schedule = Schedule(
        images=images,
        milestones=(),
        base_lr=rate,
        batch=batch,
        base_batch=batch,
        # RMSProp's first mean squares are too small, so its first steps would be too large
        warmup_images=images // 20,
        warmup_factor=0.05,
        decay_kind="cosine",
    )
    # a row trains pretrained layers more slowly, which takes more steps than a short run has
    groups = (replace(g, lr_multiplier=max(g.lr_multiplier, 1.0)) for g in row_groups)
    optimizer = replace(
        recipe.optimizer,
        kind="rmsprop",
        momentum=0.9,
        epsilon=1e-12,
        clip_norm=10.0,
        param_groups=tuple(groups),
    )
    lines = [
        f"{epochs} epochs ({why}) = {schedule.steps} steps of {batch} images",
        f"RMSProp, learning rate {rate:.3g} for a start from {start_words(start)}, falling to 0",
    ]
    return replace(recipe, schedule=schedule, optimizer=optimizer), lines


def start_words(start: str) -> str:
    """A kind of start as words."""
    return {"detector": "a detector", "backbone": "a backbone", "nothing": "random weights"}[start]
