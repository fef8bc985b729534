"""The records of a data set on object storage."""

from __future__ import annotations

import functools
import hashlib
import re
import struct
from dataclasses import dataclass

import numpy as np

from kdet.data.places import MissingDataError
from kdet.data.read_ahead import ReadAhead, memory
from kdet.data.records import FOOTER, HEADER, Records, check_fingerprint
from kdet.errors import DataError

_BLOCK = 8 << 20  # bytes per request of `verify`


@dataclass(frozen=True, eq=False)  # again, so that __post_init__ is called
class RemoteRecords(Records):
    """Like `Records`, with a `kdet.data.places.RemotePath` as folder. `Records.open` returns it.

    Training reads in the order of its plan with `read_ahead`. `read` makes one request per record.

    The fingerprint of every record is compared as it is for local files. It covers all bytes of the
    content, so the checksum of the content is computed only to explain a difference.
    """

    remote = True

    def __post_init__(self):
        memory()  # a wrong value is an error at once, and not in a thread of tf.data

    @property
    def largest_window(self) -> int:
        """The number of images, about, that are read with few requests in any order."""
        return max(memory() // 4 * len(self) // sum(shard["bytes"] for shard in self.shards), 1)

    def read(self, number):
        """See `Records.read`. Outside of a graph, it raises DataError."""
        import tensorflow as tf

        number = tf.cast(number, tf.int64)
        payload = tf.numpy_function(self._payload, [number], tf.string)
        return self.checked(number, tf.ensure_shape(payload, []))

    def checked(self, number, payload):
        """The payload, (), of a record from `read_ahead`, with an assertion of its fingerprint."""
        import tensorflow as tf

        path, shard, _, fingerprint = self._tensors
        shard, fingerprint = tf.gather(shard, number), tf.gather(fingerprint, number)
        return check_fingerprint(payload, number, tf.gather(path, shard), fingerprint)

    def read_ahead(self, blocks, column: int):
        """Yields rows with the bytes of their records; see `kdet.data.read_ahead.ReadAhead.rows`.

        Raises:
            DataError: a file is missing, cut or damaged, or the storage does not answer.
        """
        offset, length = self.index["offset"], self.index["length"]
        ends = offset + length + FOOTER
        reader = ReadAhead(self._fetch, self.index["shard"], offset - HEADER, ends, memory())
        for *arrays, stored in reader.rows(blocks, column):
            for k, number in enumerate(arrays[column].tolist()):
                stored[k] = self._content(number, stored[k])
            yield (*arrays, stored)

    def scan(self, numbers, function):
        """See `Records.scan`. It reads ahead."""
        import tensorflow as tf

        signature = (tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None,), tf.string))
        numbers = np.asarray(numbers, np.int64)
        rows = tf.data.Dataset.from_generator(
            lambda: self.read_ahead([(numbers,)], 0), output_signature=signature
        )
        return rows.unbatch().map(
            lambda number, payload: function(number, self.checked(number, payload)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def payloads(self):
        """See `Records.payloads`."""
        return self.scan(np.arange(len(self)), lambda number, payload: payload)

    def explain(self, error) -> DataError:
        """See `Records.explain`."""
        told = re.search(r"\w*DataError: (.*)", error.message)
        if told:  # raised by this class within tf.data
            return DataError(told[1].strip())
        other = re.search(r"record (\d+) is not the one in index.npz", error.message)
        if other:
            number = int(other[1])
            try:
                stored = self._stored(number)
                content, checksum = self._content(number, stored), stored[-FOOTER:]
            except DataError as found:
                return found
            if masked_crc32c(content) != int.from_bytes(checksum, "little"):
                return self._damaged(number)
        return super().explain(error)

    def _found_sizes(self):
        sizes = self.folder.sizes()  # one request, and not one for every shard
        return [sizes.get(shard["file"]) for shard in self.shards]

    def _sha256(self, shard):
        digest, size = hashlib.sha256(), self.shards[shard]["bytes"]
        for start in range(0, size, _BLOCK):
            digest.update(self._fetch(shard, start, min(start + _BLOCK, size)))
        return digest.hexdigest()

    def _fetch(self, shard, start, end):
        try:
            return self._path(shard).read_bytes(start, end)
        except MissingDataError:
            self.check_sizes()  # it tells more, such as the first record that is cut
            raise

    def _stored(self, number):
        start = int(self.index["offset"][number])
        end = start + int(self.index["length"][number]) + FOOTER
        return self._fetch(int(self.index["shard"][number]), start - HEADER, end)

    def _payload(self, number):
        return self._content(int(number), self._stored(int(number)))

    def _content(self, number, stored):
        """The content of a record. The header must have the length that the index has."""
        length, checksum = struct.unpack("<QI", stored[:HEADER])
        wrong = length != self.index["length"][number]
        if wrong or checksum != masked_crc32c(stored[:8]):
            raise self._damaged(number)
        return stored[HEADER:-FOOTER]

    def _damaged(self, number):
        path = self._path(self.index["shard"][number])
        return DataError(f"{path}: record {self._name(number)} is damaged")


def masked_crc32c(data: bytes) -> int:
    """The checksum of the TFRecord format: CRC-32C, rotated, plus a constant.

    Python computes it slowly, so it is used for headers, and for content only to explain an error.
    """
    table, code = _table(), 0xFFFFFFFF
    for byte in data:
        code = table[(code ^ byte) & 0xFF] ^ (code >> 8)
    code ^= 0xFFFFFFFF
    return ((code >> 15 | code << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _table():
    table = []
    for code in range(256):
        for _ in range(8):
            code = code >> 1 ^ (0x82F63B78 if code & 1 else 0)
        table.append(code)
    return table
