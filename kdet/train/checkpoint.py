"""Checkpoints of a training run: saving and resuming.

weights/<path>, slots/<path>    see `kdet.weights.npz`
meta  version, step, seed, precision, loss_scale [value, good steps], best, stale, batch, data
      (fingerprint of the records), data_path, recipe and labels (`kdet.config.text.to_dict`)
"""

from __future__ import annotations

import json
import zlib

import numpy as np

from kdet.config import LabelMap, Recipe
from kdet.config.text import from_dict, to_dict
from kdet.data.places import place
from kdet.errors import CheckpointError, ConfigError
from kdet.weights.match_classes import by_path
from kdet.weights.npz import check_complete, describe_npz, group, read_npz, write_npz

VERSION = 1


def describe_run(
    recipe: Recipe, labels: LabelMap, seed: int, precision: str, data: str = ""
) -> dict:
    """The part of `meta` that must be equal in the stored run and in the run that resumes it.

    `data` is the fingerprint of the training records, see `kdet.data.records.Records`.
    """
    about = {"recipe": to_dict(recipe), "labels": to_dict(labels), "data": data}
    return json.loads(json.dumps({**about, "seed": seed, "precision": precision}))


def save(
    path, trainer, about: dict, best: float | None = None, evaluated=0, stale=0, data=None
) -> None:
    """Saves weights, optimizer slots, step and loss scale of a trainer.

    Args:
        path: the `.npz` file to write or replace.
        trainer: a `kdet.train.trainer.Trainer`.
        about: the result of `describe_run`.
        best: the best metric so far. None if there is none or it is undefined.
        evaluated: the step of the last evaluation.
        stale: number of evaluations since the best one.
        data: the folder of the data set, or its URL. It is stored for `kdet evaluate`, and a
            resumed run may have another one.
    """
    arrays = {f"weights/{name}": v.numpy() for name, v in by_path(trainer.network).items()}
    arrays |= {f"slots/{name}": v.numpy() for name, v in trainer.slots.items()}
    scale = trainer.loss_scale
    meta = {
        **about,
        "version": VERSION,
        "step": trainer.step,
        "batch": trainer.schedule.batch,
        "loss_scale": [scale.value, scale.good],
        "best": best,
        "evaluated": evaluated,
        "stale": stale,
        "data_path": data and str(place(data).absolute()),
    }
    write_npz(path, arrays, meta)


def restore(path, trainer, about: dict, other_data: bool = False) -> dict:
    """Restores the state of a trainer that `save` stored.

    Args:
        path: the checkpoint.
        trainer: a `kdet.train.trainer.Trainer` of the same network.
        about: the result of `describe_run`.
        other_data: True accepts training records that differ from those of the stored run.
    Returns:
        {"best": the best metric so far or None, "evaluated": step of the last evaluation, "stale":
        number of evaluations since the best one}.
    Raises:
        CheckpointError: damaged file, or another network, recipe, seed, precision or label map.
    """
    arrays, meta = read_npz(path)
    check_version(path, meta)
    for key, wanted in about.items():
        if key == "data" and (other_data or not meta.get("data") or not wanted):
            continue  # checkpoints of earlier versions have no fingerprint
        difference = _difference(_with_new_names(meta.get(key)), wanted, key)
        if difference and key == "data":
            raise CheckpointError(
                f"{path}: the training records are not those of the stored run: their fingerprint "
                f"is {wanted} and was {meta['data']}; --other_data accepts them"
            )
        if difference:
            raise CheckpointError(
                f"{path}: --resume needs the settings of the stored run; {difference}"
            )
    weights, slots = group(arrays, "weights"), group(arrays, "slots")
    variables, buffers = by_path(trainer.network), trainer.slots
    # Everything is checked before the first assignment, so an error leaves the trainer unchanged.
    check_complete(path, weights, {k: v.shape for k, v in variables.items()})
    check_complete(path, slots, {k: v.shape for k, v in buffers.items()})
    try:
        step, best = int(meta["step"]), meta["best"]
        value, good = meta["loss_scale"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: step, best or loss_scale is missing: {error!r}") from None
    assign(variables, weights)
    assign(buffers, slots)
    trainer.step, trainer.loss_scale.value, trainer.loss_scale.good = step, value, good
    return {
        "best": best,
        "evaluated": meta.get("evaluated", step),
        "stale": meta.get("stale", 0),
    }


def stored_recipe(path) -> Recipe:
    """The recipe of the run that wrote a checkpoint. Raises CheckpointError if there is none."""
    _, meta = describe_npz(path)
    try:
        return from_dict(meta["recipe"])
    except (KeyError, ConfigError) as error:
        raise CheckpointError(f"{path}: the recipe is missing or damaged: {error}") from None


def use_weights(path, network) -> None:
    """Assigns the weights of a checkpoint of the same network."""
    assign(by_path(network), group(read_npz(path)[0], "weights"))


def assign(variables: dict, values: dict) -> None:
    """Assigns values to the variables of the same names on every replica."""
    for name, variable in variables.items():
        variable.assign(values[name])


def checksum(network) -> int:
    """CRC-32 of all weights, to check that all workers start from equal weights."""
    code = 0
    for _, variable in sorted(by_path(network).items()):
        code = zlib.crc32(np.ascontiguousarray(variable.numpy()), code)
    return code


def check_version(path, meta) -> None:
    """Raises CheckpointError unless the description is of the current version."""
    if meta.get("version") != VERSION:
        raise CheckpointError(f"{path}: expected version {VERSION}, got {meta.get('version')!r}")


def _with_new_names(stored):
    """A stored config with the current field names. Any other value is returned unchanged."""
    try:
        return json.loads(json.dumps(to_dict(from_dict(stored))))
    except (ConfigError, TypeError, ValueError):
        return stored


def _difference(stored, wanted, key):
    """The first field in which two JSON values differ, or None."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for name in sorted({*stored, *wanted}):
            found = _difference(stored.get(name), wanted.get(name), f"{key}.{name}")
            if found:
                return found
        return None
    return None if stored == wanted else f"{key} was {stored!r} and is {wanted!r} now"
