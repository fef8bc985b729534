"""The losses on validation images, to compare them with the losses on training images."""

from __future__ import annotations

import functools
from dataclasses import replace

from kdet.config import Augment, Data
from kdet.data import train_batches
from kdet.data.records import Records
from kdet.train.trainer import Trainer

MOST_IMAGES = 256  # more images would change the means little


def validation_losses(trainer: Trainer, records: Records, data: Data, batch: int) -> dict:
    """The mean losses of up to 256 validation images, in inference mode and without augmentation.

    Args:
        trainer: its network and losses are used, and nothing is changed.
        records: the validation records. They need at least one object.
        data: the settings of the training images.
        batch: images per call.
    Returns:
        name of the loss -> mean over the batches.
    """
    batch = min(batch, len(records))
    steps = min(len(records), MOST_IMAGES) // batch
    batches = records.iterate(_batches(records, data, batch, steps))
    found = [trainer.train_step.validation_losses(b) for b in batches]
    return {name: sum(losses[name] for losses in found) / len(found) for name in found[0]}


@functools.lru_cache(maxsize=1)  # each evaluation of a run needs the same ones
def _batches(records, data, batch, steps):
    plain = replace(data, flip=0.0, augment=Augment(), truncate_boxes=True)
    return train_batches(records, plain, batch, steps, seed=0)
