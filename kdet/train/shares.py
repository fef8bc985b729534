"""Detection of a data set that all devices of all workers share, with the result of one device.

The batches are those of one device, with the same images on the same canvas, because the last bits
of an image's detections may depend on the shape of its batch. Worker i of n takes the batches
i, i + n, ..., and each of its devices takes the next batch when it is free.
"""

from __future__ import annotations

import json
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue

import numpy as np
import tensorflow as tf

from kdet.data.batch_plan import eval_plan
from kdet.errors import ConfigError, EvaluationError, LostWorkerError
from kdet.evaluate.run import INPUTS, predict_records
from kdet.models import loading
from kdet.train.checkpoint import checksum
from kdet.train.distribution import local_strategy


def load_on_devices(source, replicas: int = 0):
    """Loads a detector on all devices of this process. Call this before TensorFlow uses any.

    Args:
        source: `kdet.weights.sources.Source`. An exported file runs in one engine, on one device.
        replicas: as in `kdet.train.distribution.make_strategy`.
    Returns:
        `kdet.Detector`, and a function like `kdet.evaluate.run.predict_records`, with the same
        result, which shares the batches over the devices.
    Raises:
        ConfigError: several replicas of an exported file, or as in `make_strategy`.
    """
    if source.kind == "export":
        if replicas > 1:
            raise ConfigError(f"--replicas {replicas}: {source.path} is an export for one device")
        return loading.load_source(source), predict_records
    strategy = local_strategy(replicas)
    with strategy.scope():
        detector = loading.load_source(source)
    return detector, partial(predict_records, each=_each_device(strategy))


def _each_device(strategy, workers=1):
    """The `Devices` of this process, or None if it has only one."""
    many = strategy.num_replicas_in_sync > workers
    return Devices(strategy, strategy.extended.worker_devices) if many else None


class SharedDetection:
    """Callable like `kdet.evaluate.run.predict_records`. All workers call it together.

    Args:
        strategy: the strategy under which the detector was built.
        exchange: `kdet.train.exchange.Exchange`.
    """

    def __init__(self, strategy, exchange):
        self.exchange = exchange
        self._each = _each_device(strategy, exchange.workers)

    def __call__(self, detector, records, data, batch: int = 1) -> dict[int, dict]:
        """Detects the share of this worker.

        Args:
            detector, records, data, batch: as in `kdet.evaluate.evaluate`; the detector was built
                under the strategy.
        Returns:
            As `predict_all`: the detections of all images on the chief (worker 0), and those of
            its own share on every other worker.
        Raises:
            LostWorkerError: on the chief, if another worker was lost or has other weights.
            EvaluationError, DataError: as in `evaluate`.
        """
        index, workers = self.exchange.index, self.exchange.workers
        if workers == 1:
            return predict_records(detector, records, data, batch, self._each)
        numbers, _, real = eval_plan(records.sizes, data.canvas_sizes(), data, batch)
        mine = numbers[index::workers][real[index::workers]]
        found = {}
        if len(mine):
            part = Part(records, mine)
            found = predict_records(detector, part, data, batch, self._each)
        arrays, meta = pack(found)
        meta["weights"] = checksum(detector.network)
        parts = self.exchange.gather(arrays, meta)
        if parts is None:
            return found
        for worker, (_, other) in enumerate(parts):
            if other["weights"] != meta["weights"]:
                raise LostWorkerError(f"worker {worker} has evaluated other weights than worker 0")
        return merge([unpack(*part) for part in parts], records.image_ids[numbers[real]].tolist())


class Part:
    """Some records of a data set, for `kdet.data.batches.eval_batches`.

    Args:
        records: `kdet.data.records.Records`.
        numbers: (n,) int64, the records, in the order of the evaluation plan. The plan of whole
            batches has these batches again, because only the last one of a canvas has a gap.
    """

    def __init__(self, records, numbers):
        self._records, self._count = records, len(numbers)
        self.sizes = records.sizes[numbers]
        with tf.device("CPU:0"):  # where images are read
            self._numbers = tf.constant(numbers, tf.int64)

    def __len__(self):
        return self._count

    def read(self, number):
        """The bytes of a record, see `Records.read`; `number` counts within the part."""
        return self._records.read(tf.gather(self._numbers, number))

    def iterate(self, dataset):
        """See `Records.iterate`."""
        return self._records.iterate(dataset)


class Devices:
    """Runs a detector on several devices of this process at the same time, one batch on each.

    Every device has its own function of the detector, which reads the copies of the weights on this
    device. There is one thread per device. `strategy.run` would need batches of equal shape, or one
    more trace for every combination of canvases, and all devices would wait for the slowest.

    Args:
        strategy: the strategy under which the detector was built.
        devices: names of the devices, only those of this process.
    """

    def __init__(self, strategy, devices):
        self.strategy, self.devices = strategy, devices
        self._detector, self._functions = None, []

    def __call__(self, detector, batches):
        """Yields (batch, outputs as NumPy arrays) in the order of the batches."""
        if detector is not self._detector:
            # Traced here and not in the threads, because Keras keeps a state per thread.
            self._functions = [self._function(detector.model, name) for name in self.devices]
            self._detector = detector
        free = SimpleQueue()
        for pair in zip(self.devices, self._functions):
            free.put(pair)

        def detect(batch):
            device, function = free.get()
            try:
                with tf.device(device):
                    outputs = function({name: batch[name] for name in INPUTS})
                return {name: value.numpy() for name, value in outputs.items()}
            finally:
                free.put((device, function))

        pending = deque()
        with ThreadPoolExecutor(len(self.devices)) as pool:
            for batch in batches:
                pending.append((batch, pool.submit(detect, batch)))
                if len(pending) > len(self.devices):  # one batch waits, so no device does
                    first, outputs = pending.popleft()
                    yield first, outputs.result()
            while pending:
                first, outputs = pending.popleft()
                yield first, outputs.result()

    def _function(self, model, device):
        signature = {
            tensor.name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, tensor.name)
            for tensor in model.inputs
        }

        @tf.function(input_signature=[signature])
        def detect(inputs):
            with tf.device(device):
                return model(inputs, training=False)

        # Under its scope and outside of a replica, a mirrored variable is its copy on the device.
        with self.strategy.scope():
            return detect.get_concrete_function()


def pack(found: dict[int, dict]) -> tuple[dict, dict]:
    """Detections as (arrays, meta) for `Exchange.gather`.

    Args:
        found: the result of `kdet.evaluate.run.predict_all`.
    """
    names = [name for name in next(iter(found.values()), {}) if name != "segmentations"]
    arrays = {name: np.concatenate([one[name] for one in found.values()]) for name in names}
    arrays["image_id"] = np.array(list(found), np.int64)
    arrays["count"] = np.array([len(one["scores"]) for one in found.values()], np.int64)
    masks = [one["segmentations"] for one in found.values() if "segmentations" in one]
    return arrays, {"segmentations": json.dumps(masks)}


def unpack(arrays: dict, meta: dict) -> dict[int, dict]:
    """The argument of `pack` from its result, with equal bits."""
    arrays, masks = dict(arrays), json.loads(meta["segmentations"])
    ids, ends = arrays.pop("image_id").tolist(), np.cumsum(arrays.pop("count"))[:-1]
    split = {name: np.split(value, ends) for name, value in arrays.items()}
    found = {}
    for k, image_id in enumerate(ids):
        found[image_id] = {name: values[k] for name, values in split.items()}
        if masks:
            found[image_id]["segmentations"] = masks[k]
    return found


def merge(parts: list[dict], image_ids: list[int]) -> dict[int, dict]:
    """The detections of several workers in the order of one device.

    Args:
        parts: results of `kdet.evaluate.run.predict_all`.
        image_ids: the ids of all images in the order of one device.
    Raises:
        EvaluationError: an image occurs twice. The metrics refuse missing images.
    """
    found = {image_id: one for part in parts for image_id, one in part.items()}
    if len(found) < sum(map(len, parts)):
        raise EvaluationError("several workers evaluated the same image")
    return {image_id: found[image_id] for image_id in image_ids if image_id in found}
