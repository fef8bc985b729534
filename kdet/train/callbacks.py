"""Keras callbacks in a run: they get the epochs, the losses and the metrics of the validation."""

from __future__ import annotations

import keras


class Callbacks:
    """Calls Keras callbacks, e.g. `keras.callbacks.EarlyStopping(monitor="val/AP", mode="max")`.

    An epoch ends when every training image was used once. Its logs have the mean losses by their
    names, their sum as "loss", the learning rate as "learning_rate", and, if there was an
    evaluation in this epoch, its metrics and losses with "val/" in front of their names.

    Args:
        callbacks: Keras callbacks. The model they get is `detector.network`.
        detector: the `kdet.Detector` that is trained.
        images: number of training images.
    """

    def __init__(self, callbacks, detector, images: int):
        self.network, self.images = detector.network, images
        self.network.stop_training = False
        self._list = keras.callbacks.CallbackList(list(callbacks), model=detector.network)
        self._epoch, self._reports, self._begun, self._logs = 0, [], False, {}

    @property
    def stopped(self) -> bool:
        """Whether a callback asked to stop."""
        return bool(self.network.stop_training)

    @stopped.setter
    def stopped(self, value: bool):
        self.network.stop_training = value

    def begin(self, images: int) -> None:
        """Starts training after `images` images, 0 for a new run."""
        self._epoch = images // self.images
        self._list.on_train_begin()

    def after(self, report, latest: dict | None) -> None:
        """After each step; `latest` has the numbers of an evaluation after this step, or None."""
        if not self._begun:
            self._list.on_epoch_begin(self._epoch)
            self._begun = True
        self._reports.append(report)
        self._list.on_train_batch_end(report.step, _logs([report]))
        if latest:
            self._logs = {f"val/{name}": v for name, v in latest.items() if v is not None}
        if (report.step + 1) * report.images >= (self._epoch + 1) * self.images:
            self._list.on_epoch_end(self._epoch, {**_logs(self._reports), **self._logs})
            self._epoch = (report.step + 1) * report.images // self.images
            self._reports, self._begun, self._logs = [], False, {}

    def end(self) -> None:
        """Ends training."""
        self._list.on_train_end()


def _logs(reports):
    """Mean losses, their sum and the learning rate of several reports."""
    means = {
        name: sum(report.losses[name] for report in reports) / len(reports)
        for name in reports[-1].losses
    }
    return {"loss": sum(means.values()), **means, "learning_rate": reports[-1].rate}
