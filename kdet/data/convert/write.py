"""Checked items -> TFRecord shards, index.npz, report.json and, last of all, dataset.json.

A shard is written under a temporary name, renamed, and then described by a small json file
(its index rows, counts, checksum and a fingerprint of all inputs). A conversion that was killed
therefore continues after its last whole shard; dataset.json exists only when everything else does.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import math
import os
import re
from pathlib import Path

import numpy as np
from tqdm import tqdm

from kdet.data.convert.remarks import remarks
from kdet.data.convert.shards import COLUMNS, prepared, write_shard
from kdet.data.convert.source import Problem, Source
from kdet.data.schema import VERSION
from kdet.errors import DataError
from kdet.files import sha256_of, target_of, write_atomic

_SHARD_BYTES = 64 << 20
_THREADS = 8  # that decode what the worker processes made; they rarely wait for more
_UNFINISHED = "unfinished.json"  # there from the first to the last moment of a conversion
_OURS = re.compile(
    r"(shard-\d{5,}-of-\d{5,}\.(tfrecord|json)|index\.npz|(report|unfinished)\.json)(\.tmp)?"
    r"|dataset\.json\.tmp"
)


def write_dataset(
    source: Source, out, shards=None, workers=None, strict=False, allow_empty=False
) -> dict:
    """Writes the data set; see `kdet.data.convert.coco.convert_coco` for arguments and errors.

    Returns:
        The content of dataset.json.
    """
    source.check(allow_empty)
    if strict:
        refuse(source.problems)
    out = Path(out)
    for name, value in (("shards", shards), ("workers", workers)):
        if value is not None and value < 1:
            raise DataError(f"{name}: expected at least 1, got {value}")
    shards = min(shards or _default_shards(source), len(source.items))
    inputs = source.fingerprint(shards)
    if done := _finished(out, inputs, strict):
        return done
    names = [f"shard-{k:05d}-of-{shards:05d}" for k in range(shards)]
    _write_shards(source, out, names, _start(out, names, inputs), inputs, workers)
    sidecars = [json.loads((out / f"{name}.json").read_text()) for name in names]
    problems = [*source.problems, *(Problem(**p) for s in sidecars for p in s["problems"])]
    try:
        if strict or not any(s["rows"]["length"] for s in sidecars):
            refuse(problems)
        if not any(s["counts"]["labels"] for s in sidecars):
            source.refuse_empty(problems, allow_empty)
    except DataError:
        _clear(out)
        out.rmdir()
        raise
    return _finish(source, out, names, sidecars, problems, inputs)


def summary(out) -> str:
    """What is in a data set and what was left out, as lines for a terminal."""
    data = json.loads((Path(out) / "dataset.json").read_text())
    report = json.loads((Path(out) / "report.json").read_text())
    counts = data["counts"]
    lines = [
        f"{out}: {data['records']} images, {data['objects']} objects of "
        f"{len(data['labels']['names'])} classes in {len(data['shards'])} shards; "
        f"{counts['crowd']} crowds, {counts['difficult']} difficult, "
        f"{counts['empty_images']} images without objects"
    ]
    lines += [f"note: {count} {what}" for what, count in report["notes"].items()]
    problems = [Problem(**p) for p in report["problems"]]
    lines += [f"left out: {p}" for p in problems[:20]]
    if len(problems) > 20:
        lines.append(f"left out: {len(problems) - 20} more, listed in report.json")
    return "\n".join(lines)


def refuse(problems):
    """Raises DataError where something would be left out, for `strict`."""
    if problems:
        more = f"; {len(problems) - 1} more" if len(problems) > 1 else ""
        raise DataError(f"nothing was written: {problems[0]}{more}")


def _default_shards(source):
    sizes = (os.path.getsize(i.path) for i in source.items if os.path.isfile(i.path))
    return max(1, math.ceil(sum(sizes) / _SHARD_BYTES))


def _finished(out, inputs, strict):
    """The dataset.json of the same conversion, where it is already there."""
    marker = out / "dataset.json"
    if not marker.exists():
        return None
    try:
        data, report = json.loads(marker.read_text()), json.loads((out / "report.json").read_text())
        same = report["inputs"] == inputs
        whole = all((out / s["file"]).stat().st_size == s["bytes"] for s in data["shards"])
    except (OSError, ValueError, LookupError, TypeError):
        same = whole = False
    if not same:
        raise DataError(
            f"{out}: holds a data set made from other inputs, or by another "
            "version of kdet; choose another folder"
        )
    if not whole:
        raise DataError(f"{out}: holds a damaged data set; remove it first")
    if strict:
        refuse([Problem(**p) for p in report["problems"]])
    for name in (*(p.name for p in out.glob("shard-*.json")), _UNFINISHED):
        (out / name).unlink(missing_ok=True)  # left by a kill in the very last moment
    return data


def _start(out, names, inputs):
    """Makes the folder ready; returns the names of the shards that are finished already."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: expected a folder, got a file")
    out.mkdir(parents=True, exist_ok=True)
    there = sorted(p.name for p in out.iterdir())
    # Only a folder that says it is ours is ever cleared.
    foreign = [name for name in there if target_of(name) != _UNFINISHED]
    if foreign and _UNFINISHED not in there:
        raise DataError(f"{out}: expected an empty folder, got one with {foreign[0]!r}")
    write_atomic(out / _UNFINISHED, b"{}\n")
    kept = {name for name in names if _is_whole(out, name, inputs)}
    _clear(out, {f"{name}.{end}" for name in kept for end in ("tfrecord", "json")} | {_UNFINISHED})
    return kept


def _clear(out, but=()):
    for path in out.iterdir():
        target = target_of(path.name)
        if path.name not in but and _OURS.fullmatch(f"{target}.tmp" if target else path.name):
            path.unlink()


def _is_whole(out, name, inputs):
    try:
        sidecar = json.loads((out / f"{name}.json").read_text())
        shard = out / f"{name}.tfrecord"
        return sidecar["inputs"] == inputs and sidecar["sha256"] == sha256_of(shard)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _write_shards(source, out, names, kept, inputs, workers):
    from kdet.data.convert.check import readable  # here: scripts that workers import need no TF

    total = len(source.items)
    cuts = [total * k // len(names) for k in range(len(names) + 1)]
    parts = {name: source.items[a:b] for name, a, b in zip(names, cuts, cuts[1:])}
    todo = {name: part for name, part in parts.items() if name not in kept}
    items = [item for shard in todo.values() for item in shard]
    if workers is None:
        workers = 1 if len(items) < 64 else os.cpu_count()
    bar = tqdm(total=total, initial=total - len(items), unit="image", disable=None)
    with (
        bar,
        contextlib.closing(prepared(items, workers)) as made,
        contextlib.closing(readable(made, items, min(workers, _THREADS))) as stream,
    ):
        for name, shard in todo.items():
            write_shard(out, name, len(shard), stream, inputs, bar)


def _finish(source, out, names, sidecars, problems, inputs):
    """Joins the sidecars into the index, the report and dataset.json; removes them."""
    columns = {
        name: np.array([v for s in sidecars for v in s["rows"][name]], dtype)
        for name, dtype in COLUMNS.items()
    }
    sizes = [len(s["rows"]["length"]) for s in sidecars]
    index = io.BytesIO()
    np.savez(index, shard=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes), **columns)
    write_atomic(out / "index.npz", index.getvalue())
    notes = source.notes + remarks(source.items)
    for sidecar in sidecars:
        notes.update(sidecar["notes"])
    report = {
        "inputs": inputs,
        "notes": dict(sorted(notes.items())),
        "problems": [p._asdict() for p in problems],
    }
    write_atomic(out / "report.json", _json(report))
    data = _dataset(source, names, sidecars, sizes, columns["objects"])
    write_atomic(out / "dataset.json", _json(data))
    for name in names:
        (out / f"{name}.json").unlink()
    (out / _UNFINISHED).unlink()
    return data


def _dataset(source, names, sidecars, sizes, objects):
    labels = collections.Counter()
    for sidecar in sidecars:
        labels.update(dict(sidecar["counts"]["labels"]))
    return {
        "schema": VERSION,
        "records": sum(sizes),
        "objects": int(objects.sum()),
        "labels": {"names": list(source.labels.names), "ids": list(source.labels.ids)},
        "shards": [
            {"file": f"{n}.tfrecord", "records": size, "bytes": s["bytes"], "sha256": s["sha256"]}
            for n, size, s in zip(names, sizes, sidecars)
        ],
        "counts": {
            "per_label": [labels[k] for k in range(len(source.labels))],
            "crowd": sum(s["counts"]["crowd"] for s in sidecars),
            "difficult": sum(s["counts"]["difficult"] for s in sidecars),
            "empty_images": int((objects == 0).sum()),
        },
        "source": {"kind": source.kind, "annotations": source.annotations},
    }


def _json(value):
    return (json.dumps(value, indent=1) + "\n").encode()
