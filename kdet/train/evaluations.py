"""The evaluations of a run: when they take place, what is the best one, and when to stop.

All workers detect, each of them its share of the images. The chief (worker 0) does the rest.
"""

from __future__ import annotations

from pathlib import Path

from kdet.analyse import analyse
from kdet.errors import DataError
from kdet.evaluate.run import evaluate, format_table
from kdet.train import previews
from kdet.train.data_sets import check_masks
from kdet.train.log import LOG
from kdet.train.validation import validation_losses

MOST_IMAGES = 8  # per call


def interval(options, schedule, images: int, until: int, every_epoch: bool) -> int:
    """Steps between evaluations; 0 for none.

    Args:
        options: `kdet.train.cli.Options`.
        schedule: `kdet.config.Schedule`.
        images: number of training images.
        until: last step of the run.
        every_epoch: whether to evaluate after every epoch, unless the options say otherwise.
    """
    if options.eval_every is not None:
        return options.eval_every
    if every_epoch:
        return -(-images // schedule.batch)  # rounded up
    return -(-until // (5 if options.data else 2))


class Evaluations:
    """Evaluates a detector during its training.

    Args:
        detector: the `kdet.Detector` that is trained.
        trainer: its `kdet.train.trainer.Trainer`.
        val: validation records, or None for no evaluations.
        every: steps between evaluations; 0 for none.
        until: last step of the run, which always has an evaluation if `every` is not 0.
        predict: `kdet.train.shares.SharedDetection`.
        patience: number of evaluations without a better metric after which to stop, or None.
    Attributes:
        best: the best metric so far. None if there is none or it is undefined.
        evaluated: step of the last evaluation.
        stale: number of evaluations since the best one.
        latest: name -> number of the last evaluation in this process: its losses and metrics.
    """

    def __init__(self, detector, trainer, val, every: int, until: int, predict, patience=None):
        self.predict = predict
        self.detector, self.trainer, self.val = detector, trainer, val
        self.every, self.until, self.patience = every, until, patience
        self.best, self.evaluated, self.stale, self.latest = None, 0, 0, {}

    @property
    def batch(self) -> int:
        """Images per call of an evaluation."""
        return min(self.detector.recipe.schedule.batch, MOST_IMAGES)

    @property
    def state(self) -> dict:
        """What a checkpoint stores, and what all workers need to know."""
        return {"best": self.best, "evaluated": self.evaluated, "stale": self.stale}

    @state.setter
    def state(self, values: dict):
        self.best, self.evaluated, self.stale = (values[k] for k in ("best", "evaluated", "stale"))

    def is_due(self) -> bool:
        """Whether there is an evaluation after the current step, which did not take place yet."""
        step = self.trainer.step
        if not (self.val and self.every and step) or step == self.evaluated:
            return False
        return step % self.every == 0 or step == self.until

    def stops(self) -> bool:
        """Whether the metric was not better for `patience` evaluations."""
        return self.patience is not None and self.stale >= self.patience

    def detect(self):
        """Detects this worker's share of the images for `run` or `analyse` of the chief."""
        self.predict(self.detector, self.val, self.detector.data, self.batch)

    def run(self, progress, say) -> bool:
        """Evaluates, writes the log and a picture, and updates the attributes.

        Args:
            progress: `kdet.train.log.Progress`.
            say: function that prints text.
        Returns:
            True if the metric is the best so far. An undefined metric counts as the best.
        """
        step, data, val = self.trainer.step, self.detector.data, self.val
        with self.trainer.averaged():
            metrics = evaluate(
                self.detector, val, data, self.batch, data.metric, predict=self.predict
            )
            losses = self._losses()
            sheet = previews.prediction_sheet(self.detector, val)
        numbers = {k: v for k, v in metrics.items() if k != "per_class"}
        progress.write(step, {"eval": numbers, **({"val_losses": losses} if losses else {})})
        progress.picture(step, "predictions", sheet)
        say(f"after {step} steps\n{format_table(metrics)}")
        value = metrics["mAP_11point" if data.metric == "voc" else "AP"]
        better = value is None or self.best is None or value > self.best
        if value is None:
            say("the metric is undefined; best.npz is the latest checkpoint")
        self.best = value if better else self.best
        self.stale = 0 if better else self.stale + 1
        self.evaluated, self.latest = step, {**losses, **numbers}
        return better

    def analyse(self, out) -> str:
        """Writes `analysis/` in the folder of the run, and returns its summary as text."""
        out = Path(out)
        numbers = analyse(
            self.detector, self.val, out / "analysis", out / LOG, self.batch, self.predict
        )
        return numbers["summary"]

    def _losses(self):
        """Validation losses, or {} where the validation set has nothing to learn from."""
        recipe, val = self.detector.recipe, self.val
        if not val.index["objects"].any():
            return {}
        if recipe.model.needs_masks():
            try:
                check_masks(val, recipe.name)
            except DataError:
                return {}
        return validation_losses(self.trainer, val, recipe.data, self.batch)
