"""What is in a data set: counts, classes, box sizes, and nine images with their boxes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from kdet.data.decode import OBJECTS, decode, parse
from kdet.data.records import Records
from kdet.draw import contact_sheet, draw_boxes
from kdet.files import write_atomic

_SAMPLE = 5000  # records read for box sizes
_BAR = 40  # characters of the longest bar
_QUANTILES = (0, 5, 25, 50, 75, 95, 100)


def describe(folder, picture=None) -> str:
    """A data set in words, and on request as a picture.

    Args:
        folder: with dataset.json, or `Records`.
        picture: PNG file to write; nine images, evenly spread over the data set, with true boxes
            and class names.
    Returns:
        Lines of text: counts, one bar per class, quantiles of image and box sizes.
    Raises:
        DataError: the data set is incomplete or damaged.
    """
    records = folder if isinstance(folder, Records) else Records.open(folder)
    data = json.loads((records.folder / "dataset.json").read_text())
    counts = data["counts"]
    lines = [
        f"{records.folder}: {data['source']['kind']}, from {data['source']['annotations']}",
        f"{data['records']} images in {len(data['shards'])} shards, "
        f"{sum(s['bytes'] for s in data['shards']) / 2**20:.1f} MiB",
        f"{data['objects']} objects and {counts['crowd']} crowds; "
        f"{counts['difficult']} difficult; {counts['empty_images']} images without objects",
        "",
        *_histogram(records.labels.names, counts["per_label"]),
        "",
        *_sizes(records),
    ]
    if picture is not None:
        out = io.BytesIO()
        sample_sheet(records).save(out, "PNG")
        write_atomic(Path(picture), out.getvalue())
    return "\n".join(lines)


def sample_sheet(records: Records, count: int = 9) -> Image.Image:
    """`count` images in rows of three, evenly spread over the data set, with their true boxes.

    Raises:
        DataError: a record is damaged.
    """
    numbers = np.unique(np.linspace(0, len(records) - 1, min(count, len(records))).astype(int))
    read = tf.data.Dataset.from_tensor_slices(numbers).map(lambda n: decode(records.read(n)))
    pictures = []
    for example in records.iterate(read):
        boxes, labels = example["boxes"].numpy(), example["labels"].numpy()
        names = records.labels.names
        pictures.append(draw_boxes(example["image"].numpy(), boxes, labels=labels, names=names))
    return contact_sheet(pictures, columns=3)


def _histogram(names, counts):
    most, wide = max(*counts, 1), max(map(len, names))
    for name, count in zip(names, counts):
        bar = "#" * max(round(_BAR * count / most), count > 0)
        yield f"{name:<{wide}} {count:>8} {bar}".rstrip()


def _sizes(records):
    """Quantiles of image sides, and of sides and numbers of boxes."""
    numbers = np.unique(np.linspace(0, len(records) - 1, min(_SAMPLE, len(records))).astype(int))
    wanted = {"object/bbox": OBJECTS["object/bbox"]}
    read = records.scan(numbers, lambda _, payload: parse(payload, wanted)["object/bbox"])
    boxes = np.concatenate([b.numpy() for b in records.iterate(read)])
    sides = records.sizes[numbers]
    relative = np.sqrt(boxes[:, 2] * boxes[:, 3])
    share = f", of {len(numbers)} images" if len(numbers) < len(records) else ""
    yield "".join(f"{q:>9}%" for q in _QUANTILES).rjust(28 + 10 * len(_QUANTILES)) + share
    table = {
        "image height": sides[:, 0],
        "image width": sides[:, 1],
        "objects per image": records.index["objects"][numbers],
        "box width": boxes[:, 2],
        "box height": boxes[:, 3],
        "box side, sqrt(w h)": relative,
    }
    for name, values in table.items():
        if len(values):
            found = np.percentile(values, _QUANTILES)
            yield f"{name:<28}" + "".join(f"{v:>10.4g}" for v in found)
