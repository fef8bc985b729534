"""Opens and checks a converted data set, and reads its records in any order, also in tf.data.

`kdet.data.convert.write` writes its folder: dataset.json, index.npz and TFRecord shards. Opening a
data set does not import TensorFlow, so commands check it before they do.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdet.config import LabelMap
from kdet.data.places import locate, place
from kdet.data.record_index import read_index
from kdet.data.schema import VERSION
from kdet.errors import ConfigError, DataError
from kdet.files import sha256_of

HEADER, FOOTER = 12, 4  # bytes of the TFRecord format before and after each record


@dataclass(frozen=True, eq=False)
class Records:
    """The records of one data set. Row k of every array is record k.

    Attributes:
        folder: folder of the data set; a `kdet.data.places.RemotePath` for a URL.
        labels: names and source ids of the classes.
        shards: file, records, bytes and sha256 of each shard, from dataset.json.
        index: column name -> (n,) array, from index.npz.
    """

    folder: Path
    labels: LabelMap
    shards: tuple[dict, ...]
    index: dict[str, np.ndarray]
    remote = False  # whether training calls `read_ahead`, as for a URL

    @classmethod
    def open(cls, folder, split: str | None = None) -> Records:
        """Opens a data set and checks that its files belong together. Records are not read.

        Args:
            folder: a folder with dataset.json, or the parent of several such folders. A URL such as
                gs://bucket/records gives `kdet.data.remote_records.RemoteRecords`.
            split: the folder to open in a parent, e.g. "train".
        Raises:
            DataError: a file is missing, truncated or inconsistent, or has another schema.
            ConfigError: a package that is needed for a URL is not installed.
        """
        folder = locate(place(folder), split)
        try:
            data = json.loads((folder / "dataset.json").read_text())
            if data["schema"] != VERSION:
                raise DataError(f"{folder}: expected schema {VERSION}, got {data['schema']!r}")
            labels = LabelMap(tuple(data["labels"]["names"]), tuple(data["labels"]["ids"]))
            shards, count = tuple(data["shards"]), data["records"]
            _ = [(s["file"], s["records"], s["bytes"], s["sha256"]) for s in shards]
        except (json.JSONDecodeError, KeyError, TypeError, ConfigError, UnicodeError) as error:
            raise DataError(f"{folder / 'dataset.json'}: {type(error).__name__} {error}") from None
        if not isinstance(folder, Path):
            from kdet.data.remote_records import RemoteRecords as cls  # noqa: N813
        records = cls(folder, labels, shards, read_index(folder / "index.npz", count))
        records.check_sizes()
        records.check_layout()
        return records

    def __len__(self):
        return len(self.image_ids)

    @property
    def sizes(self) -> np.ndarray:
        """(n, 2) int32, height and width of the stored images."""
        return np.stack([self.index["height"], self.index["width"]], 1).astype(np.int32)

    @property
    def image_ids(self) -> np.ndarray:
        """(n,) int64, ids in the source data."""
        return self.index["image_id"]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that depend on the classes, the records and their order."""
        parts = [self.labels.names, [shard["sha256"] for shard in self.shards]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def check_sizes(self):
        """Raises DataError if a shard is missing or does not have its recorded size."""
        for k, (shard, found) in enumerate(zip(self.shards, self._found_sizes())):
            path = self._path(k)
            if found is None:
                raise DataError(f"{path}: shard is missing")
            if found == shard["bytes"]:
                continue
            ends = self.index["offset"] + self.index["length"] + FOOTER
            lost = np.flatnonzero((self.index["shard"] == k) & (ends > found))
            cut = f"; record {self._name(lost[0])} is the first one cut" if len(lost) else ""
            raise DataError(f"{path}: expected {shard['bytes']} bytes, found {found}{cut}")

    def check_layout(self):
        """Raises DataError if the index does not describe the shards from start to end."""
        shard, length = self.index["shard"], self.index["length"]
        wanted = np.repeat(np.arange(len(self.shards)), [s["records"] for s in self.shards])
        if not np.array_equal(shard, wanted):
            raise DataError(f"{self.folder}: index.npz and dataset.json have different records")
        for k, described in enumerate(self.shards):
            mine = np.flatnonzero(shard == k)
            ends = np.cumsum(length[mine] + HEADER + FOOTER)
            starts = np.concatenate([[0], ends])[:-1] + HEADER
            wrong = mine[self.index["offset"][mine] != starts]
            if len(wrong):
                raise DataError(
                    f"{self.folder}: index.npz has a wrong offset for record {self._name(wrong[0])}"
                )
            if len(mine) and ends[-1] != described["bytes"]:
                raise DataError(
                    f"{self._path(k)}: expected {described['bytes']} bytes, index has {ends[-1]}"
                )

    def verify(self):
        """Reads every byte. Raises DataError for the first shard with a different SHA-256."""
        self.check_sizes()
        for k, shard in enumerate(self.shards):
            found = self._sha256(k)
            if found != shard["sha256"]:
                raise DataError(
                    f"{self._path(k)}: expected sha256 {shard['sha256'][:12]}..., "
                    f"found {found[:12]}..."
                )

    def read(self, number):
        """Reads the bytes of one record. It can be traced, for example in `Dataset.map`.

        It seeks to the record and does not scan the shard. TensorFlow checks the CRC, and the
        fingerprint in the index detects a shard that was replaced by another one.

        Args:
            number: () int64 tensor or int, 0..n-1.
        Returns:
            () string tensor, for `decode` or `parse`.
        Raises:
            tf.errors.OpError: damaged data. `explain` makes a one-line message from it.
        """
        import tensorflow as tf

        number = tf.cast(number, tf.int64)
        shard, start, fingerprint = (tf.gather(column, number) for column in self._tensors[1:])
        path = tf.gather(self._tensors[0], shard)
        spec = {"output_types": [tf.string], "output_shapes": [()]}
        # tf.data.TFRecordDataset cannot start at an offset, but its op can.
        stream = tf.raw_ops.TFRecordDatasetV2(
            filenames=path[None],
            compression_type="",
            buffer_size=tf.constant(0, tf.int64),
            byte_offsets=start[None],
        )
        first = tf.raw_ops.TakeDataset(input_dataset=stream, count=tf.constant(1, tf.int64), **spec)
        payload = tf.raw_ops.DatasetToSingleElement(dataset=first, **spec)[0]
        return check_fingerprint(payload, number, path, fingerprint)

    def scan(self, numbers, function):
        """A dataset of function(number, payload) for some records, in the order of `numbers`."""
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(numbers).map(
            lambda number: function(number, self.read(number)), num_parallel_calls=tf.data.AUTOTUNE
        )

    def payloads(self):
        """A dataset of the bytes of all records in their order. Fingerprints are not compared."""
        import tensorflow as tf

        return tf.data.TFRecordDataset([str(self._path(k)) for k in range(len(self.shards))])

    def explain(self, error) -> DataError:
        """Returns a DataError with shard and record for a `tf.errors.OpError`."""
        import tensorflow as tf

        try:
            self.check_sizes()
        except DataError as found:
            return found
        lines = [x for x in error.message.splitlines() if x.strip() and "{{node" not in x]
        line = lines[-1].strip() if lines else type(error).__name__
        offset = re.search(r"record at (\d+)", line)
        # the message has the offset of the record's content or of its header
        starts = (int(offset[1]), int(offset[1]) + HEADER) if offset else ()
        for number in np.flatnonzero(np.isin(self.index["offset"], starts)):
            try:
                self.read(int(number))
            except tf.errors.OpError:
                path = self._path(self.index["shard"][number])
                return DataError(f"{path}: record {self._name(number)} is damaged")
        line = re.sub(r"^.*with iterator: \S+: ", "", line)  # without the op of the pipeline
        match = re.search(r"assertion failed: \[(?:b')?(.*?)'?\]", line)
        return DataError(match[1] if match else f"{self.folder}: {line}")

    def iterate(self, dataset):
        """Yields the elements of a dataset made from these records.

        Raises:
            DataError: a record could not be read or decoded.
        """
        import tensorflow as tf

        iterator = iter(dataset)
        while True:
            try:
                element = next(iterator)
            except StopIteration:
                return
            except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
                raise self.explain(error) from None
            yield element

    @functools.cached_property
    def _tensors(self):
        import tensorflow as tf

        # On the CPU, because on a GPU every look-up of the input pipeline would be a copy.
        with tf.init_scope(), tf.device("CPU:0"):
            paths = [str(self._path(k)) for k in range(len(self.shards))]
            columns = (self.index["shard"], self.index["offset"] - HEADER)
            return tuple(map(tf.constant, (paths, *columns, self.index["fingerprint"])))

    def _found_sizes(self):
        """Yields the size of each shard in bytes, or None for a missing one."""
        for path in map(self._path, range(len(self.shards))):
            yield path.stat().st_size if path.is_file() else None

    def _sha256(self, shard):
        return sha256_of(self._path(shard))

    def _path(self, shard):
        return self.folder / self.shards[shard]["file"]

    def _name(self, number):
        return f"{number} (image id {self.image_ids[number]})"


def check_fingerprint(payload, number, path, fingerprint):
    """The payload, after an assertion that it has the fingerprint of the index.

    Args:
        payload, path: () string tensors; the path is for the message.
        number, fingerprint: () int64 tensors.
    """
    import tensorflow as tf

    same = tf.strings.to_hash_bucket_fast(payload, 2**62) == fingerprint
    message = [path, ": record ", tf.strings.as_string(number), " is not the one in index.npz"]
    with tf.control_dependencies([tf.debugging.Assert(same, [tf.strings.join(message)])]):
        return tf.identity(payload)
