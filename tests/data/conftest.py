"""Small data sets for the tests of reading."""

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf

from kdet.data.convert.example_proto import Object, Record, serialize_example


def picture(height, width, seed=0):
    """A smooth random RGB image: JPEG keeps it, and neighbouring pixels differ."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype("float32")
    return np.uint8(
        np.round(tf.image.resize(coarse, (height, width), "bicubic").numpy().clip(0, 255))
    )


def record(number, height, width, boxes=(), crowd=(), **changes):
    """A PNG record with image id 100 + number; boxes are x y w h, labels count 0, 1, 2, 0, ..."""
    crowd = crowd or [0] * len(boxes)
    objects = tuple(
        Object(10 * number + k, k % 3, tuple(map(float, box)), box[2] * box[3], crowd[k])
        for k, box in enumerate(boxes)
    )
    encoded = tf.io.encode_png(picture(height, width, number)).numpy()
    values = {"encoded": encoded, "id": 100 + number, "name": f"{number}.png"}
    return Record(**{**values, "height": height, "width": width, "objects": objects, **changes})


def write_folder(folder, records, shards=2):
    """Writes a data set as `kdet.data.convert.write` does, from records already made."""
    folder.mkdir(parents=True)
    columns = {name: [] for name in ("shard", "offset", "length", "fingerprint")}
    described = []
    for shard in range(shards):
        path, offset = folder / f"shard-{shard:05d}-of-{shards:05d}.tfrecord", 12
        share = records[len(records) * shard // shards : len(records) * (shard + 1) // shards]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for payload in map(serialize_example, share):
                writer.write(payload)
                fingerprint = int(tf.strings.to_hash_bucket_fast(payload, 2**62))
                for name, value in zip(columns, (shard, offset, len(payload), fingerprint)):
                    columns[name].append(value)
                offset += len(payload) + 16
        content = path.read_bytes()
        described.append(
            {
                "file": path.name,
                "records": len(share),
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    arrays = {name: np.array(values, np.int64) for name, values in columns.items()}
    arrays["shard"] = arrays["shard"].astype(np.int32)
    for name, values in (
        ("height", [r.height for r in records]),
        ("width", [r.width for r in records]),
        ("objects", [sum(not o.crowd for o in r.objects) for r in records]),
    ):
        arrays[name] = np.array(values, np.int32)
    np.savez(folder / "index.npz", image_id=np.array([r.id for r in records], np.int64), **arrays)
    data = {
        "schema": 1,
        "records": len(records),
        "objects": int(arrays["objects"].sum()),
        "labels": {"names": ["a", "b", "c"], "ids": [1, 2, 5]},
        "shards": described,
        "counts": {},
        "source": {},
    }
    (folder / "dataset.json").write_text(json.dumps(data))
    return folder


@pytest.fixture(name="write_folder")
def _write_folder():
    """`write_folder(folder, records, shards=2)`."""
    return write_folder


@pytest.fixture(name="make_record")
def _make_record():
    """`make_record(number, height, width, boxes=(), crowd=(), **changes)`."""
    return record


@pytest.fixture(name="make_picture")
def _make_picture():
    """`make_picture(height, width, seed=0)`."""
    return picture


@pytest.fixture
def folder(tmp_path):
    """Seven records in two shards: landscape, portrait, square; record 3 has no objects."""
    sizes = [(30, 40), (40, 30), (30, 40), (24, 48), (32, 32), (40, 30), (30, 40)]
    records = [
        record(k, h, w, [] if k == 3 else [(1 + j, 2, 10 + j, 9) for j in range(k % 3 + 1)])
        for k, (h, w) in enumerate(sizes)
    ]
    return write_folder(tmp_path / "seven", records)
