"""All errors that kdet raises on purpose. Each message is one line."""


class KdetError(ValueError):
    """Base class of the errors. A file, a setting or an argument cannot be used."""


class ConfigError(KdetError):
    """A recipe, a `key=value` setting, an argument or a stored configuration is not valid."""


class DataError(KdetError):
    """A data set, a record, an annotation or an image is not valid."""


class EvaluationError(KdetError):
    """Annotations, predictions and evaluated images do not match."""


class CheckpointError(KdetError):
    """A checkpoint is missing or damaged, or it does not fit the network."""


class DownloadError(CheckpointError):
    """A published file cannot be downloaded, or its content has changed."""


class NotFiniteError(KdetError):
    """A loss or a gradient is NaN or infinite. The weights are still those before that step."""


class LostWorkerError(KdetError):
    """Another worker of a training run on several machines stopped responding."""
