"""The learning curves of a run, from its log.jsonl (`kdet.train.log`)."""

from __future__ import annotations

import json
import math
from pathlib import Path

CURVES = ("losses", "val_losses", "eval")


def read_log(path) -> dict[str, dict[str, list]]:
    """The numbers of a log, as lists over the steps.

    Args:
        path: log.jsonl, or None. A missing file is an empty log, and damaged lines are left out.

    Returns:
        {"losses", "val_losses", "eval"}: each maps "step" and the name of each number to a list.
        The lists of one group are equally long; None is a number that a line lacks. Losses have a
        "total", the sum of a line.
    """
    lines = []
    if path is not None and Path(path).is_file():
        for text in Path(path).read_text("utf-8", "replace").splitlines():
            try:
                line = json.loads(text)
                lines.append((int(line["step"]), line))
            except (ValueError, KeyError, TypeError):
                continue  # a line that was not complete when the run was killed
    return {group: _group(lines, group) for group in CURVES}


def _group(lines, group):
    rows = []
    for step, line in lines:
        if isinstance(line.get(group), dict):
            row = {k: float(v) for k, v in line[group].items() if _is_number(v)}
            if group != "eval" and row:
                row.setdefault("total", sum(row.values()))
            rows.append({"step": step, **row})
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value)
