"""The log of a run: a progress bar in the terminal, `log.jsonl`, and files for TensorBoard."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

LOG = "log.jsonl"


class Progress:
    """Collects the reports of a trainer and logs their means every few steps.

    Args:
        out: folder of the run, for `log.jsonl`, `tensorboard/` and pictures.
        start: number of steps already done. Later lines of an existing log are removed.
        until: number of steps of the whole run.
        every: steps between log lines. The first and the last step always have a line.
    """

    def __init__(self, out, start: int, until: int, every: int):
        self.out, self.until, self.every = Path(out), until, every
        self._window = []
        self._bar = tqdm(initial=start, total=until, unit="step", dynamic_ncols=True)
        _drop_lines_after(self.out / LOG, start)
        self._log = open(self.out / LOG, "a", encoding="utf-8")
        self._events = tf.summary.create_file_writer(str(self.out / "tensorboard"))

    def update(self, report) -> None:
        """Adds one `kdet.train.trainer.Report`."""
        self._window.append(report)
        step = report.step + 1
        self._bar.update()
        if step % self.every and step != self.until and report.step:
            return
        line = summary(self._window)
        self._window = []
        words = " ".join(f"{k} {v:.4g}" for k, v in line["losses"].items())
        self._bar.set_postfix_str(
            f"{words} | rate {line['rate']:.3g} | {line['images_per_second']:.1f} img/s | "
            f"data wait {line['data_wait']:.0%}"
        )
        self.write(step, line)

    def write(self, step: int, line: dict) -> None:
        """Writes a line of the log, and its numbers as TensorBoard scalars. Dicts are groups."""
        json.dump({"step": step, **line}, self._log)
        self._log.write("\n")
        self._log.flush()
        with self._events.as_default():
            for name, value in line.items():
                group = value if isinstance(value, dict) else {"": value}
                for key, number in group.items():
                    if isinstance(number, (int, float)):
                        _scalar(f"{name}/{key}" if key else f"train/{name}", number, step)

    def picture(self, step: int, name: str, image) -> None:
        """Saves a PIL image as `OUT/<name>_<step>.png` and shows it in TensorBoard."""
        path = self.out / f"{name}_{step:06d}.png"
        image.save(path)
        with self._events.as_default():
            _image(name, image.size, path.read_bytes(), step)

    def print(self, text: str) -> None:
        """Prints text above the progress bar."""
        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """Closes the progress bar and the files."""
        self._bar.close()
        self._log.close()
        self._events.close()


def summary(reports) -> dict:
    """Means over several reports: losses, gradient norm, images per second, share of data wait.

    Learning rate and loss scale are those of the last report. `skipped` counts float16 overflows.
    """
    last, count = reports[-1], len(reports)
    # Counts and times are summed before the division, so slow steps count by their time.
    seconds = sum(r.seconds for r in reports)
    kept = [r for r in reports if r.applied] or reports
    return {
        "losses": {k: sum(r.losses[k] for r in kept) / len(kept) for k in last.losses},
        "rate": last.rate,
        "norm": sum(r.norm for r in kept) / len(kept),
        "images_per_second": count * last.images / seconds,
        "data_wait": sum(r.waited for r in reports) / seconds,
        "loss_scale": last.scale,
        "skipped": count - sum(r.applied for r in reports),
    }


def _drop_lines_after(path, start):
    """Removes the lines of steps that a resumed run repeats."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text("utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= start:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue  # a line that was not complete when the run was killed
    path.write_text("".join(kept), "utf-8")


def _scalar(name, value, step):
    # tf.summary.scalar and .image need the tensorboard package, but writing the files does not.
    _write(name, tf.constant(value, tf.float32), step, "scalars", 1)


def _image(name, size, png, step):
    value = tf.constant([*map(str, size), png])
    _write(name, value, step, "images", 3)


def _write(name, value, step, plugin, kind):
    metadata = tf.compat.v1.SummaryMetadata(
        plugin_data={"plugin_name": plugin}, data_class=kind, display_name=name
    )
    tf.summary.write(name, value, step=step, metadata=metadata)
