"""Every error that kdet raises on purpose. Each message is one line for people."""


class KdetError(ValueError):
    """Base class: a file, a setting or an argument cannot be used as it is."""


class ConfigError(KdetError):
    """A recipe, a `key=value` setting or a stored configuration is impossible."""


class DataError(KdetError):
    """A data set, a record, an annotation or an image is not what it should be."""


class EvaluationError(KdetError):
    """Annotations, predictions and evaluated images do not belong together."""


class CheckpointError(KdetError):
    """A checkpoint is missing or damaged, or it does not fit the network."""


class DownloadError(CheckpointError):
    """A published file cannot be downloaded, or its content has changed."""


class NotFiniteError(KdetError):
    """A loss or a gradient is NaN or infinite. The weights are those before that step."""


class LostWorkerError(KdetError):
    """Another worker of a training run on several machines stopped answering."""
