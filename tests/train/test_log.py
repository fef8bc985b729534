"""The log's means, what a resumed run forgets, and event files without the tensorboard package."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kdet.train.log import Progress, summary
from kdet.train.trainer import Report


def report(step, loss, seconds=2.0, waited=0.5, **more):
    return Report(step, {"box": loss}, 0.1 / (step + 1), 3.0, 8, seconds, waited, **more)


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def events(folder):
    """(step, tag, plugin, value) of every event written by a run."""
    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        for payload in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(payload.numpy())
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                found.append((event.step, value.tag, plugin, tf.make_ndarray(value.tensor)))
    return found


def test_summary_by_hand():
    line = summary([report(0, 1.0), report(1, 2.0, seconds=6.0, waited=1.5)])
    assert line == {
        "losses": {"box": 1.5},
        "rate": 0.05,
        "norm": 3.0,
        "images_per_second": 2.0,
        "data_wait": 0.25,
        "loss_scale": 1.0,
        "skipped": 0,
    }
    skipped = report(2, float("inf"), applied=False, scale=64.0)
    line = summary([report(1, 2.0), skipped])
    assert (line["losses"], line["skipped"], line["loss_scale"]) == ({"box": 2.0}, 1, 64.0)


def test_log_and_events(tmp_path):
    progress = Progress(tmp_path, 0, 5, every=2)
    for step, loss in enumerate([1.0, 2.0, 4.0, 8.0, 16.0]):
        progress.update(report(step, loss))
    progress.write(5, {"eval": {"AP": 0.5}})
    picture = Image.fromarray(np.full((3, 4, 3), 200, np.uint8))
    progress.picture(5, "training", picture)
    progress.close()
    logged = lines(tmp_path)
    assert [line["step"] for line in logged] == [1, 2, 4, 5, 5]
    assert [line["losses"]["box"] for line in logged[:4]] == [1.0, 2.0, 6.0, 16.0]
    assert logged[-1] == {"step": 5, "eval": {"AP": 0.5}}
    seen = {(step, tag): (plugin, value) for step, tag, plugin, value in events(tmp_path)}
    assert seen[4, "losses/box"] == ("scalars", 6.0)
    assert seen[5, "eval/AP"] == ("scalars", 0.5)
    assert seen[2, "train/images_per_second"] == ("scalars", 4.0)
    plugin, (width, height, png) = seen[5, "training"]
    assert (plugin, width, height) == ("images", b"4", b"3")
    for file in (io.BytesIO(png), tmp_path / "training_000005.png"):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), np.asarray(picture))


def test_a_resumed_run_drops_later_and_broken_lines(tmp_path):
    text = "".join(json.dumps({"step": s}) + "\n" for s in (1, 5, 6, 9)) + '{"step": 1'
    (tmp_path / "log.jsonl").write_text(text)
    progress = Progress(tmp_path, 5, 7, every=1)
    progress.update(report(5, 1.0))
    progress.close()
    assert [line["step"] for line in lines(tmp_path)] == [1, 5, 6]


@pytest.mark.parametrize("start, until, logged", [(3, 7, [4, 7]), (3, 8, [4, 8])])
def test_windows_stay_on_the_grid_after_a_resume(tmp_path, start, until, logged):
    progress = Progress(tmp_path, start, until, every=4)
    for step in range(start, until):
        progress.update(report(step, 1.0))
    progress.close()
    assert [line["step"] for line in lines(tmp_path)] == logged
