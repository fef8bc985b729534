"""The evaluations of a run: when they take place, what is the best one, and when to stop."""

from __future__ import annotations

from kdet.errors import DataError
from kdet.evaluate.run import evaluate, format_table
from kdet.train import previews
from kdet.train.data_sets import check_masks
from kdet.train.validation import validation_losses

MOST_IMAGES = 8  # per call


class Evaluations:
    """Evaluates a detector during its training.

    Args:
        detector: the `kdet.Detector` that is trained.
        trainer: its `kdet.train.trainer.Trainer`.
        val: validation records, or None for no evaluations.
        every: steps between evaluations; 0 for none.
        until: last step of the run, which always has an evaluation if `every` is not 0.
        patience: number of evaluations without a better metric after which to stop, or None.
    Attributes:
        best: the best metric so far. None if there is none or it is undefined.
        evaluated: step of the last evaluation.
        stale: number of evaluations since the best one.
        latest: name -> number of the last evaluation in this process: its losses and metrics.
    """

    def __init__(self, detector, trainer, val, every: int, until: int, patience=None):
        self.detector, self.trainer, self.val = detector, trainer, val
        self.every, self.until, self.patience = every, until, patience
        self.best, self.evaluated, self.stale, self.latest = None, 0, 0, {}

    @property
    def batch(self) -> int:
        """Images per call of an evaluation."""
        return min(self.detector.recipe.schedule.batch, MOST_IMAGES)

    @property
    def state(self) -> dict:
        """What a checkpoint stores."""
        return {"best": self.best, "evaluated": self.evaluated, "stale": self.stale}

    def is_due(self) -> bool:
        """Whether there is an evaluation after the current step, which did not take place yet."""
        step = self.trainer.step
        if not (self.val and self.every and step) or step == self.evaluated:
            return False
        return step % self.every == 0 or step == self.until

    def stops(self) -> bool:
        """Whether the metric was not better for `patience` evaluations."""
        return self.patience is not None and self.stale >= self.patience

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
            metrics = evaluate(self.detector, val, data, self.batch, data.metric)
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

    def _losses(self):
        """Validation losses, or {} where the validation set has nothing to learn from."""
        recipe, val = self.detector.recipe, self.val
        if not val.index["objects"].any() or self.trainer.strategy.num_replicas_in_sync > 1:
            return {}
        if recipe.model.needs_masks():
            try:
                check_masks(val, recipe.name)
            except DataError:
                return {}
        return validation_losses(self.trainer, val, recipe.data, self.batch)
