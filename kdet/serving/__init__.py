"""Detectors outside of kdet: a SavedModel that needs TensorFlow only."""


def export(detector, folder):
    """Writes a SavedModel; see `kdet.serving.saved_model.export`. Returns the folder."""
    from kdet.serving import saved_model

    return saved_model.export(detector, folder)


__all__ = ["export"]
