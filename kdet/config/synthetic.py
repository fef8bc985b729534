"""A recipe for the built-in synthetic data set, which trains from scratch in minutes."""

from __future__ import annotations

from dataclasses import replace

from kdet.config.augment import Augment
from kdet.config.backbones import ResNet
from kdet.config.recipe import Recipe, Schedule


def synthetic_recipe(
    recipe: Recipe, side=128, base_lr=0.00004, images=2560, milestones=(2080, 2400)
) -> Recipe:
    """The recipe with a small canvas and a short schedule; all layers and norms are trained.

    The structure of the network is not changed. Mirroring is the only augmentation.

    Args:
        recipe: a row of the zoo.
        side: side of the square canvas in pixels.
        base_lr: learning rate at 8 images per step.
        images, milestones: length and milestones of the schedule in images.
    """
    data = replace(
        recipe.data,
        dataset="synthetic",
        short_side=side,
        long_side=side,
        pad_to=32,
        canvases=(),
        augment=Augment(),
    )
    schedule = Schedule(
        images=images,
        milestones=milestones,
        base_lr=base_lr,
        batch=8,
        base_batch=8,
        warmup_images=320,
        # RMSProp's first mean squares are too small, so its first steps would be too large
        warmup_factor=0.05,
    )
    # from random weights, RMSProp with momentum needs a third of the steps of plain momentum
    optimizer = replace(
        recipe.optimizer, kind="rmsprop", momentum=0.9, epsilon=1e-12, clip_norm=10.0
    )
    model = trained_backbone(recipe.model)
    return replace(recipe, model=model, data=data, schedule=schedule, optimizer=optimizer)


def trained_backbone(model):
    """A model config whose whole backbone is trained, norms included, as random weights need it."""
    if not isinstance(model.backbone, ResNet):
        return model
    return replace(model, backbone=replace(model.backbone, norm="batch", freeze_at=0))
