"""Distribution of training: one device, several devices of this process, or several machines.

`TF_CONFIG` in the environment selects several machines, which all run the same command. Otherwise
`--replicas` is the number of devices of this process. These are GPUs, or logical CPUs if there is
no GPU.
"""

from __future__ import annotations

import re
import secrets

import keras
import tensorflow as tf

from kdet.errors import ConfigError, LostWorkerError
from kdet.train.precheck import check_workers

_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)


def make_strategy(replicas: int = 0):
    """The tf.distribute strategy. Call this before TensorFlow uses any device.

    Args:
        replicas: number of devices of this process. 0 takes every GPU, or one CPU.
    Raises:
        ConfigError: more replicas than GPUs, devices that are already in use, or a wrong TF_CONFIG.
    """
    if check_workers(replicas):
        # Without CommunicationOptions, collectives have no time limit. So a worker may wait for a
        # chief that saves a large checkpoint. If a process dies, TensorFlow's coordination service
        # notices it, and the collectives of the others end with an error.
        return tf.distribute.MultiWorkerMirroredStrategy()
    return local_strategy(replicas)


def local_strategy(replicas: int = 0):
    """The strategy of this process alone; see `make_strategy`."""
    gpus = tf.config.list_physical_devices("GPU")
    replicas = replicas or max(len(gpus), 1)
    if replicas < 1 or (gpus and replicas > len(gpus)):
        raise ConfigError(f"--replicas must be 1 to {len(gpus) or 'N'}, got {replicas}")
    if replicas == 1:
        return tf.distribute.get_strategy()
    if gpus:
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(replicas)])
    try:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * replicas,
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"--replicas {replicas} needs a process that has not used TensorFlow: {error}"
        ) from None
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


def worker(strategy) -> tuple[int, int]:
    """(index of this machine, number of machines). Index 0 is the chief, which writes files."""
    resolver = strategy.cluster_resolver if _is_multi_worker(strategy) else None
    if resolver is None:
        return 0, 1
    return resolver.task_id, len(resolver.cluster_spec().as_dict()["worker"])


def _is_multi_worker(strategy):
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def lost_peer(error, strategy) -> str | None:
    """What an error says about a lost worker in one line, or None for other errors."""
    if isinstance(error, LostWorkerError):
        return str(error)
    if not _is_multi_worker(strategy) or not isinstance(error, tf.errors.OpError):
        return None
    if not isinstance(error, _LOST) and "ollective" not in error.message:
        return None
    match = re.search(r"ollective ops is aborted by: (.*)", error.message)
    return match[1] if match else type(error).__name__


def explained(error, strategy, step: int, out):
    """A LostWorkerError that says how to continue after a lost worker; other errors unchanged.

    Args:
        error: of TensorFlow, or the LostWorkerError of an `Exchange`.
        strategy: of the run.
        step: steps taken.
        out: folder of the run.
    """
    reason, last = lost_peer(error, strategy), out / "last.npz"
    if reason is None:
        return error
    again = "there is no checkpoint yet; start the same command again on every worker"
    if last.exists():
        again = f"last checkpoint {last}; start the same command with --resume on every worker"
    return LostWorkerError(f"lost another worker at step {step}; {again} ({reason})")


def check_batch(batch: int, strategy, accumulate: int = 1) -> None:
    """Raises ConfigError unless all replicas, and the parts of their batches, are equally large."""
    if batch % (strategy.num_replicas_in_sync * accumulate):
        parts = f", {accumulate} parts" if accumulate > 1 else ""
        raise ConfigError(
            f"the global batch must be a multiple of the number of replicas: {batch} images, "
            f"{strategy.num_replicas_in_sync} replicas{parts}"
        )


def split(strategy, batch: dict):
    """Splits the batch of this worker over its replicas.

    Args:
        batch: name -> tensor (B, ...), the images of this worker.
    Returns:
        For one replica the same dict. For several, name -> PerReplica of (B / replicas, ...).
    """
    index, workers = worker(strategy)
    local = strategy.num_replicas_in_sync // workers
    if local == 1 and workers == 1:
        return batch
    share = next(iter(batch.values())).shape[0] // local

    def part(tensor):
        def slice_of(context):
            start = (context.replica_id_in_sync_group - index * local) * share
            return tensor[start : start + share]

        return strategy.experimental_distribute_values_from_function(slice_of)

    return {name: part(tensor) for name, tensor in batch.items()}


def common_token(strategy) -> int:
    """A new random number below 2^48, the same on all workers."""
    index, workers = worker(strategy)
    if workers == 1:
        return secrets.randbits(48)
    # An all-reduce can only sum, so every replica but the first one adds 0. Float64 is exact here.
    mine = secrets.randbits(48) if index == 0 else 0

    @tf.function(autograph=False)
    def send():
        def replica():
            context = tf.distribute.get_replica_context()
            first = tf.cast(tf.equal(context.replica_id_in_sync_group, 0), tf.float64)
            return context.all_reduce("sum", first * tf.constant(mine, tf.float64))

        return strategy.run(replica)

    return int(strategy.experimental_local_results(send())[0])


def check_agreement(strategy, number: int, what: str) -> None:
    """Raises ConfigError unless `number`, e.g. a checksum, is the same on all workers."""
    if worker(strategy)[1] == 1:
        return
    # Numbers are equal if and only if n * sum(x^2) = sum(x)^2, and an all-reduce can sum.
    number %= 2**20  # the square of this, times the replicas, is exact in float64

    @tf.function(autograph=False)
    def compare():
        def replica():
            value = tf.constant(number, tf.float64)
            return tf.distribute.get_replica_context().all_reduce("sum", [value, value * value])

        return strategy.run(replica)

    total, squares = (float(strategy.experimental_local_results(v)[0]) for v in compare())
    if total * total != squares * strategy.num_replicas_in_sync:
        raise ConfigError(
            f"the workers disagree on {what}: give every worker the same arguments and an --out "
            "folder on storage that all of them share"
        )


def resolve_jit(choice: str, network, strategy) -> tuple[bool, str]:
    """Whether to compile the step with XLA, and the reason as text.

    Args:
        choice: "on", "off" or "auto". "auto" is on for GPUs if XLA can compile the step.
        network: the Keras model to train.
        strategy: the strategy under which the model trains.
    Raises:
        ConfigError: "on" is impossible, or several replicas have batch normalisation that is not
            synchronized.
    """
    norms = [
        layer
        for layer in network._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    many = strategy.num_replicas_in_sync > 1
    # Otherwise every replica has its own moving statistics, and only the first ones are saved.
    if many and not all(layer.synchronized for layer in norms):
        raise ConfigError("with several replicas BatchNormalization must have synchronized=True")
    if choice == "off":
        return False, "--jit off"
    if many and norms:
        reason = (
            f"{len(norms)} batch normalisations train on {strategy.num_replicas_in_sync} replicas: "
            "XLA cannot compile batch norm's reduction across replicas"
        )
        if choice == "on":
            raise ConfigError(f"--jit on is impossible: {reason}")
        return False, reason
    if choice == "on":
        return True, "--jit on"
    gpu = bool(tf.config.list_logical_devices("GPU"))
    return gpu, "the default on GPUs" if gpu else "the default on CPUs"
