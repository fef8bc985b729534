"""Writes exported files, checks them with their engine and gives them their names."""

from __future__ import annotations

import os
from pathlib import Path

from kdet.config.text import to_dict
from kdet.data.records import Records
from kdet.files import temporary_path, write_json
from kdet.serving.check import check_agreement
from kdet.serving.fixed import FixedDetector, fixed_data, raw_data
from kdet.serving.formats import description_path
from kdet.serving.writers import WRITERS, calibration_of


def description(detector, fixed, data, format, nms=True) -> dict:
    """What users of an exported detector must know: names of classes, inputs, outputs, settings."""
    height, width = data.canvas_sizes()[-1]
    return {
        "format": format,
        "names": list(detector.labels.names),
        "inputs": list(fixed.inputs),
        "outputs": list(fixed.outputs),
        "image": {"height": height, "width": width, "channels": "RGB", "range": [0, 255]},
        "resize": data.resize,
        "nms": nms,
        "model": to_dict(detector.config),
        "data": to_dict(raw_data(data)),
        "labels": to_dict(detector.labels),
    }


def export_file(detector, path: Path, format: str, size=None, int8=None, nms=True) -> Path:
    """See `kdet.export`."""
    detector = detector.in_float32()
    data = fixed_data(detector.data, size)
    fixed = FixedDetector(detector, data, nms)
    more = {}
    if int8:
        records = Records.open(int8, "train")
        more["calibration"] = calibration_of(records, raw_data(data), fixed.inputs)
    stored = description(detector, fixed, data, format, nms) | {"int8": bool(int8)}
    with temporary_path(path) as folder:
        folder.mkdir()
        new = folder / path.name
        WRITERS[format](fixed, new, **more)
        write_json(description_path(new), stored)
        check_agreement(new, stored, detector, data)
        for part in sorted(folder.iterdir(), key=lambda part: part == new):
            os.replace(part, path.with_name(part.name))
    return path
