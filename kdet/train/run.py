"""One run of the training command. It connects data, detector, trainer, evaluation and files."""

from __future__ import annotations

import itertools
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf

from kdet.config import Recipe
from kdet.data import train_batches
from kdet.errors import ConfigError, LostWorkerError
from kdet.files import remove_leftovers
from kdet.models.detector import build
from kdet.serving.saved_model import export
from kdet.train import checkpoint, distribution, previews
from kdet.train.callbacks import Callbacks
from kdet.train.cli import Options
from kdet.train.data_sets import BANNER, limits, make_synthetic_splits, open_splits_of_run
from kdet.train.evaluations import Evaluations, interval
from kdet.train.exchange import Exchange
from kdet.train.log import Progress
from kdet.train.optimizer import describe_schedule
from kdet.train.plan import recipe_of_run
from kdet.train.shares import SharedDetection
from kdet.train.signals import stop_on_signal
from kdet.train.start import start_from, start_from_detector
from kdet.train.trainer import set_precision, trainer_of


def train(recipe: Recipe, options: Options, source=None, callbacks=()) -> TrainingRun:
    """Trains, evaluates and exports. All files are written to `options.out`.

    Args:
        recipe: the recipe to train.
        options: the values of the flags.
        source: a `kdet.Detector` whose weights are used instead of those of `options.init`.
        callbacks: Keras callbacks; see `kdet.train.callbacks`.
    Returns:
        The run; its attribute `complete` is True if it ended, and False after SIGINT or SIGTERM,
        when the state is stored.
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
        run = TrainingRun(recipe, options, strategy, source, callbacks)
        run.run()
        return run
    except (tf.errors.OpError, LostWorkerError) as error:
        step = run.trainer.step if run else 0
        raise distribution.explained(error, strategy, step, Path(options.out)) from None


class TrainingRun:
    """The parts and the state of a run. Only the chief (worker 0) writes results and calls back."""

    def __init__(self, recipe: Recipe, options: Options, strategy, source=None, callbacks=()):
        self.options, self.strategy, self.out = options, strategy, Path(options.out)
        self.source, self.progress, self.complete = source, None, False
        self.shard = distribution.worker(strategy)
        self.chief = self.shard[0] == 0
        self._check_out()
        self.records, self.val = self._open_data(recipe)
        labels = self.records.labels
        replicas = strategy.num_replicas_in_sync
        recipe, lines = recipe_of_run(recipe, self.records, options, source, replicas)
        distribution.check_batch(recipe.schedule.batch, strategy, recipe.schedule.accumulate)
        notes = limits(self.records, self.val, recipe.data)
        for line in [f"plan: {x}" for x in lines] + [f"note: {x}" for x in notes]:
            self._print(line)
        recipe = replace(recipe, model=replace(recipe.model, num_classes=len(labels)))
        self.recipe, self.until = recipe, options.stop_after or recipe.schedule.steps
        with strategy.scope():
            self.detector = build(recipe.model, recipe.data, labels)
        self.detector.recipe, self.detector.trained = recipe, True
        self.trainer = trainer_of(self.detector, strategy, options.jit, options.precision)
        self.about = checkpoint.describe_run(
            recipe, labels, options.seed, options.precision, self.records.fingerprint
        )
        self.exchange = Exchange(self.out, self.shard, distribution.common_token(strategy))
        predict = SharedDetection(strategy, self.exchange)
        every = interval(options, recipe.schedule, len(self.records), self.until, bool(callbacks))
        parts = self.detector, self.trainer, self.val
        self.evaluations = Evaluations(*parts, every, self.until, predict, options.patience)
        self.callbacks = Callbacks(callbacks, self.detector, len(self.records))

    def run(self) -> None:
        """Trains from the first step, or from that of a checkpoint, to the end. See `train`."""
        self._start()
        if self.chief:
            log_every = self.options.log_every
            self.progress = Progress(self.out, self.trainer.step, self.until, log_every)
        try:
            with self.exchange:
                self._run()
        finally:
            if self.progress:
                self.progress.close()

    def _run(self):
        trainer = self.trainer
        # A run that was killed between saving and evaluating evaluates first.
        if self.evaluations.is_due():
            self._evaluate()
            self._meet()
        self.callbacks.begin(trainer.step * trainer.schedule.batch)
        with stop_on_signal() as stop:
            for report in trainer.train(self._batches(), self.until):
                met = self._after(report)
                if stop.asked:
                    self._save()
                    self._print(f"stopped after {trainer.step} steps; --resume continues from here")
                    return
                # Several workers must stop after the same step, and agree after evaluations only.
                if (met or self.shard[1] == 1) and self._stops_early():
                    break
        self.callbacks.end()
        self._finish()
        self.complete = True

    def _check_out(self):
        if self.chief:
            self.out.mkdir(parents=True, exist_ok=True)
            if self.options.resume:
                remove_leftovers(self.out)

    def _open_data(self, recipe):
        options = self.options
        self.folder = options.data or self.out / "data"
        if options.data is None:
            self._print(BANNER)
            if self.chief:
                make_synthetic_splits(self.folder, recipe.data)
        # This all-reduce also makes the other workers wait until the chief has made the data.
        distribution.check_agreement(self.strategy, options.seed, "--seed")
        return open_splits_of_run(self.folder, recipe, self._print)

    def _start(self):
        """Loads the weights that the options ask for, and prints the settings of the run."""
        options, trainer = self.options, self.trainer
        last = self.out / "last.npz"
        if options.resume and last.exists():
            state = checkpoint.restore(last, trainer, self.about, options.other_data)
            self.evaluations.state = state
            self._print(f"continuing after {trainer.step} steps")
        elif options.resume:
            self._print(f"there is no checkpoint in {self.out} yet, so this starts at step 0")
        if not trainer.step and self.source is not None:
            report = start_from_detector(self.source, self.detector)
            self._print(f"weights of the detector: {report}")
        elif not trainer.step and options.init != "none":
            init = start_from(
                options.init, self.recipe, self.detector.network, self.detector.labels
            )
            self._print(f"weights of {options.init}: {init}")
        number = checkpoint.checksum(trainer.network) + trainer.step
        distribution.check_agreement(self.strategy, number, "the first weights")
        count = self.strategy.num_replicas_in_sync
        self._print(
            f"{self.recipe.name}: {len(self.records)} images, {len(self.detector.labels)} classes, "
            f"{self.until} steps, {count} replica{'s' * (count > 1)}, {options.precision}, "
            f"XLA {'on' if trainer.jit else 'off'} ({trainer.jit_reason})"
        )
        self._print(describe_schedule(self.recipe.schedule))

    def _batches(self):
        start, seed = self.trainer.step, self.options.seed
        length = self.recipe.schedule.batch, self.until
        data = self.records, self.recipe.data
        dataset = train_batches(*data, *length, seed, start, self.shard, pixels=True)
        batches = iter(self.records.iterate(dataset))
        if start or not self.chief or self.until == 0:
            return batches
        first = next(batches)
        sheet = previews.training_sheet(first, self.recipe.data, self.detector.labels)
        self.progress.picture(0, "training", sheet)
        return itertools.chain([first], batches)

    def _after(self, report):
        """What follows a step. Returns whether all workers have met after an evaluation."""
        if self.chief:
            self.progress.update(report)
        if not report.applied:
            scale = self.trainer.loss_scale.value
            self._print(f"step {report.step}: float16 overflow, skipped; loss scale {scale:g}")
        due = self.evaluations.is_due()
        step = self.trainer.step
        if due or step % self.options.checkpoint_every == 0 or step == self.until:
            self._save()
        if due:  # after saving, so an error in the evaluation does not lose the checkpoint
            self._evaluate()
        if self.chief:
            self.callbacks.after(report, self.evaluations.latest if due else None)
        if due:
            self._meet()
        return due

    def _evaluate(self):
        if not self.chief:
            with self.trainer.averaged():
                self.evaluations.detect()
            return
        if self.evaluations.run(self.progress, self._print):
            with self.trainer.averaged():
                self._save("best.npz")
        self._save()

    def _meet(self):
        """Tells the workers the result of an evaluation. They wait here until the chief is done."""
        mine = {**self.evaluations.state, "stopped": self.callbacks.stopped}
        state = self.exchange.tell(mine)
        self.evaluations.state, self.callbacks.stopped = state, state["stopped"]

    def _stops_early(self):
        reason = "a callback asked for it" if self.callbacks.stopped else ""
        if self.evaluations.stops():
            reason = f"no better metric in {self.evaluations.stale} evaluations (--patience)"
        if reason and self.trainer.step < self.until:
            self._print(f"stopped early after {self.trainer.step} steps: {reason}")
            self._save()
        return bool(reason)

    def _save(self, name="last.npz"):
        if self.chief:
            path, state = self.out / name, self.evaluations.state
            checkpoint.save(path, self.trainer, self.about, **state, data=self.folder)

    def _finish(self):
        """Exports and analyses the best weights. All workers detect for the analysis."""
        if self.evaluations.stale:
            checkpoint.use_weights(self.out / "best.npz", self.trainer.network)
        with self.trainer.averaged() if not self.evaluations.stale else nullcontext():
            if not self.chief:
                return self.evaluations.detect() if self.evaluations.evaluated else None
            folder = export(self.detector, self.out / "saved_model")
            if self.evaluations.evaluated:
                self._print(self.evaluations.analyse(self.out))
        self._print(f"checkpoints, log.jsonl and pictures in {self.out}; SavedModel in {folder}")
        if self.evaluations.evaluated:
            last = max(self.out.glob("predictions_*.png"))
            report = self.out / "analysis" / "report.html"
            self._print(f"look at {last}, and at {report} for what went wrong")

    def _print(self, text):
        if self.progress:
            self.progress.print(text)
        elif self.chief:
            print(text, file=sys.stderr, flush=True)
