"""One run of the training command. It connects data, detector, trainer, evaluation and files."""

from __future__ import annotations

import functools
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf

from kdet.config import Recipe
from kdet.data import train_batches
from kdet.errors import ConfigError, LostWorkerError
from kdet.evaluate.run import evaluate, format_table
from kdet.files import remove_leftovers
from kdet.models.detector import build
from kdet.models.families import family_of
from kdet.serving.saved_model import export
from kdet.train import checkpoint, distribution, previews
from kdet.train.cli import Options
from kdet.train.data_sets import check_masks, limits, make_synthetic_splits, open_splits
from kdet.train.log import Progress
from kdet.train.optimizer import describe_schedule
from kdet.train.signals import stop_on_signal
from kdet.train.trainer import Trainer, set_precision

BANNER = """
  There is no --data, so this run trains on the built-in synthetic data set: painted shapes, a small
  canvas and a short schedule. It shows that everything works. Its AP cannot be compared with AP on
  COCO.
"""


def train(recipe: Recipe, options: Options) -> bool:
    """Trains, evaluates and exports. All files are written to `options.out`.

    Returns:
        True if the run is complete. False after SIGINT or SIGTERM, when the state is stored.
    Raises:
        KdetError: a one-line message. NotFiniteError and LostWorkerError are subclasses.
    """
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(f"training needs KERAS_BACKEND=tensorflow, got {keras.backend.backend()}")
    strategy = distribution.make_strategy(options.replicas)  # before any other use of TensorFlow
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    set_precision(options.precision)
    keras.utils.set_random_seed(options.seed)
    run = None
    try:
        run = TrainingRun(recipe, options, strategy)
        return run.run()
    except tf.errors.OpError as error:
        reason = distribution.lost_peer(error, strategy)
        if reason is None:
            raise
        step = run.trainer.step if run else 0
        last = Path(options.out) / "last.npz"
        again = (
            f"last checkpoint {last}; start the same command with --resume on every worker"
            if last.exists()
            else "there is no checkpoint yet; start the same command again on every worker"
        )
        raise LostWorkerError(f"lost another worker at step {step}; {again} ({reason})") from None


class TrainingRun:
    """The parts and the state of a run. Only the chief (worker 0) writes files and evaluates."""

    def __init__(self, recipe: Recipe, options: Options, strategy):
        self.options, self.strategy, self.out = options, strategy, Path(options.out)
        self.best, self.evaluated, self.progress = None, 0, None
        self.evaluations = 5 if options.data else 2  # default number per run
        self.shard = distribution.worker(strategy)
        self.chief = self.shard[0] == 0
        self._check_out()
        distribution.check_batch(recipe.schedule.batch, strategy)
        self.records, self.val = self._open_data(recipe)
        labels = self.records.labels
        recipe = replace(recipe, model=replace(recipe.model, num_classes=len(labels)))
        self.recipe, self.until = recipe, options.steps or recipe.schedule.steps
        with strategy.scope():
            self.detector = build(recipe.model, recipe.data, labels)
            network = self.detector.training_model()
        self.detector.recipe, family = recipe, family_of(recipe.model)
        self.trainer = Trainer(
            network,
            functools.partial(family.targets, recipe.model),
            functools.partial(family.losses, recipe.model),
            recipe.schedule,
            recipe.optimizer,
            strategy,
            jit=options.jit,
            precision=options.precision,
        )
        self.about = checkpoint.describe_run(
            recipe, labels, options.seed, options.precision, self.records.fingerprint
        )
        self._start()

    def run(self) -> bool:
        """Trains from step `trainer.step` to the end. See `train`."""
        trainer, options = self.trainer, self.options
        if self.chief:
            self.progress = Progress(self.out, trainer.step, self.until, options.log_every)
        try:
            # A run that was killed between saving and evaluating evaluates first.
            if self.chief and self._is_evaluation_due():
                self._evaluate()
            with stop_on_signal() as stop:
                for report in trainer.train(self._batches(), self.until):
                    if self.chief:
                        self._after(report)
                    if stop.asked:
                        self._save()
                        self._print(
                            f"stopped after {trainer.step} steps; --resume continues from here"
                        )
                        return False
            if self.chief:
                self._finish()
        finally:
            if self.progress:
                self.progress.close()
        return True

    def _check_out(self):
        if self.chief:
            self.out.mkdir(parents=True, exist_ok=True)
            if self.options.resume:
                remove_leftovers(self.out)

    def _open_data(self, recipe):
        folder = self.folder = self.options.data or self.out / "data"
        if self.options.data is None:
            self._print(BANNER)
            if self.chief:
                make_synthetic_splits(folder, recipe.data)
        # This all-reduce also makes the other workers wait until the chief has made the data.
        distribution.check_agreement(self.strategy, self.options.seed, "--seed")
        records, val = open_splits(folder)
        if val is None:
            self._print(f"{folder} has no val/, so nothing is evaluated")
        if recipe.model.needs_masks():
            check_masks(records, recipe.name)
        for line in limits(records, val, recipe.data):
            self._print(f"note: {line}")
        return records, val

    def _start(self):
        """Loads the weights that the options ask for, and prints the settings of the run."""
        options, trainer = self.options, self.trainer
        last = self.out / "last.npz"
        if options.resume and last.exists():
            state = checkpoint.restore(last, trainer, self.about, options.other_data)
            self.best, self.evaluated = state["best"], state["evaluated"]
            self._print(f"continuing after {trainer.step} steps")
        elif options.resume:
            self._print(f"there is no checkpoint in {self.out} yet, so this starts at step 0")
        if not trainer.step and options.init != "none":
            self._initialise(options.init)
        number = checkpoint.checksum(trainer.network) + trainer.step
        distribution.check_agreement(self.strategy, number, "the first weights")
        count = self.strategy.num_replicas_in_sync
        self._print(
            f"{self.recipe.name}: {len(self.records)} images, {len(self.detector.labels)} classes, "
            f"{self.until} steps, {count} replica{'s' * (count > 1)}, {options.precision}, "
            f"XLA {'on' if trainer.jit else 'off'} ({trainer.jit_reason})"
        )
        self._print(describe_schedule(self.recipe.schedule))

    def _initialise(self, paths):
        detector = self.detector
        report = checkpoint.start_from(paths, self.recipe, detector.network, detector.labels)
        self._print(f"weights of {paths}: {report}")

    def _batches(self):
        start = self.trainer.step
        dataset = train_batches(
            self.records,
            self.recipe.data,
            self.recipe.schedule.batch,
            self.until,
            self.options.seed,
            start_step=start,
            shard=self.shard,
        )
        batches = iter(self.records.iterate(dataset))
        if start or not self.chief or self.until == 0:
            return batches
        first = next(batches)
        sheet = previews.training_sheet(first, self.recipe.data, self.detector.labels)
        self.progress.picture(0, "training", sheet)
        return itertools.chain([first], batches)

    def _after(self, report):
        self.progress.update(report)
        if not report.applied:
            scale = self.trainer.loss_scale.value
            self._print(f"step {report.step}: float16 overflow, skipped; loss scale {scale:g}")
        due = self._is_evaluation_due()
        step = self.trainer.step
        if due or step % self.options.checkpoint_every == 0 or step == self.until:
            self._save()
        if due:  # after saving, so an error in the evaluation does not lose the checkpoint
            self._evaluate()

    def _is_evaluation_due(self):
        step, every = self.trainer.step, self.options.eval_every
        every = -(-self.until // self.evaluations) if every is None else every  # rounded up
        if not (self.val and every and step) or step == self.evaluated:
            return False
        return step % every == 0 or step == self.until

    def _evaluate(self):
        step, recipe = self.trainer.step, self.recipe
        voc = recipe.data.dataset == "voc"
        batch = min(recipe.schedule.batch, 8)
        metrics = evaluate(self.detector, self.val, recipe.data, batch, "voc" if voc else "coco")
        value = metrics["mAP_11point" if voc else "AP"]
        self.progress.write(step, {"eval": {k: v for k, v in metrics.items() if k != "per_class"}})
        self._print(f"after {step} steps\n{format_table(metrics)}")
        sheet = previews.prediction_sheet(self.detector, self.val)
        self.progress.picture(step, "predictions", sheet)
        if value is None:
            self._print("the metric is undefined; best.npz is the latest checkpoint")
        if value is None or self.best is None or value > self.best:
            self.best = value
            best = self.out / "best.npz"
            checkpoint.save(best, self.trainer, self.about, value, step, self.folder)
        self.evaluated = step
        self._save()

    def _save(self):
        if self.chief:
            last = self.out / "last.npz"
            checkpoint.save(last, self.trainer, self.about, self.best, self.evaluated, self.folder)

    def _finish(self):
        folder = export(self.detector, self.out / "saved_model")
        self._print(f"checkpoints, log.jsonl and pictures in {self.out}; SavedModel in {folder}")
        pictures_made = sorted(self.out.glob("predictions_*.png"))
        if pictures_made:
            self._print(f"look at {pictures_made[-1]}")

    def _print(self, text):
        if self.chief:
            (self.progress.print if self.progress else _print)(text)


def _print(text):
    print(text, file=sys.stderr, flush=True)
