"""Evaluations that replicas and workers share equal those of one device; faults end the run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import shared_run
from shared_run import RECIPE
from workers import addresses

from kdet.data.convert.synthetic import make_synthetic
from kdet.models import families
from kdet.train import cli
from kdet.train import run as session
from kdet.weights.npz import read_npz

STEPS, IMAGES = 60, 9  # batches of 4, 4 and 1 image
SLOW, LIMIT = 8, 6  # seconds: of the chief's first picture, and of a collective


def arguments(folder, out, *more):
    data = ["--data", str(folder / "data"), "--out", str(out), "--init=none", "--nofit_data"]
    return [*data, "--log_every=100", *more]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with data/ and base/, a run of one device that has never been evaluated."""
    folder = tmp_path_factory.mktemp("shared")
    for seed, (split, images) in enumerate((("train", 16), ("val", IMAGES))):
        make_synthetic(folder / "data" / split, images, seed, (64, 64), masks=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "FAMILIES", [*families.FAMILIES, shared_run.FAMILY])
        patch.setattr(session, "export", lambda detector, folder: folder)
        more = f"--stop_after={STEPS}", "--eval_every=0"
        assert cli.run(RECIPE, arguments(folder, folder / "base", *more)) == 0
    return folder


@pytest.fixture
def start(stopped, tmp_path):
    """Callable: starts a process that goes on with a copy of base/ and evaluates it first."""
    started = []

    def run(name, *more, task=None, **job):
        out = tmp_path / name
        if not out.exists():
            shutil.copytree(stopped / "base", out)
        said = tmp_path / f"{name}-{task['task']['index'] if task else 0}.json"
        job |= {"out": str(said), "arguments": arguments(stopped, out, "--resume", *more)}
        script = Path(shared_run.__file__)
        env = {"TF_CONFIG": json.dumps(task)} if task else {}
        process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(job)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, said, out

    yield run
    for process in started:
        process.kill()
        process.communicate()


def workers(start, name, *more, jobs=({}, {}), **job):
    cluster = {"worker": addresses(2)}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(2)]
    return [start(name, *more, task=t, **job, **own) for t, own in zip(tasks, jobs)]


def outcome(process, said, out):
    _, text = process.communicate(timeout=240)
    assert said.exists(), text[-3000:]
    return {**json.loads(said.read_text()), "text": text, "out": out}


def val_losses(out):
    """Those of the first evaluation."""
    lines = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return next(line["val_losses"] for line in lines if "val_losses" in line)


def test_replicas_and_workers_equal_one_device(start):
    """The weights are the same, so the metrics are, to the last bit."""
    only = f"--stop_after={STEPS}", f"--eval_every={STEPS}"
    both = start("alone", *only), start("two", "--replicas=2", *only)
    alone, two = [outcome(*started) for started in both]
    # A chief that draws for longer than a collective may take, and training after that.
    more = f"--stop_after={STEPS + 8}", "--eval_every=2", "--patience=1"
    pair = workers(start, "pair", *more, timeout=LIMIT, jobs=({"draw": SLOW}, {}))
    chief, other = [outcome(*started) for started in pair]
    for found in (alone, two, chief, other):
        assert found["code"] == 0, found["text"][-3000:]
    expected = alone["metrics"][0]
    assert expected["AP50"] > 0.05 and len(expected["per_class"]) == 4
    assert two["metrics"][0] == expected and chief["metrics"][0] == expected
    assert sum(len(found["scores"]) for _, found in alone["found"][0]) > IMAGES
    assert two["found"] == alone["found"] and len(alone["found"]) == 2  # the second: the analysis
    assert chief["found"][0] == alone["found"][0]
    losses = [val_losses(found["out"]) for found in (alone, two, chief)]
    assert losses[0] == losses[1] == losses[2] and set(losses[0]) == {"class", "size"}

    assert set(two["devices"]) == {"CPU:0", "CPU:1"}
    assert alone["images"][0] == two["images"][0] == IMAGES
    assert (chief["images"][0], other["images"][0]) == (5, 4)
    # All stopped after the same evaluation, and the last share is for the analysis.
    assert not other["metrics"] and len(chief["metrics"]) > 1
    assert len(chief["images"]) == len(other["images"]) == len(chief["metrics"]) + 1
    assert len(chief["found"][-1]) == IMAGES
    state = read_npz(chief["out"] / "last.npz")[1]
    assert state["stale"] == 1 or state["step"] == STEPS + 8
    assert not list(chief["out"].glob(".workers-*"))


def test_a_worker_that_dies_in_an_evaluation_is_named(start):
    more = f"--stop_after={STEPS}", f"--eval_every={STEPS}"
    pair = workers(start, "pair", *more, silence=6, jobs=({}, {"dies": True}))
    chief = outcome(*pair[0])
    assert pair[1][0].wait(60) == 9
    assert chief["code"] == cli.LOST and not chief["metrics"]
    last = chief["text"].strip().splitlines()[-1]
    assert last.startswith(f"error: lost another worker at step {STEPS}; last checkpoint ")
    assert last.endswith("(worker 1 shows no sign of life for 6 s)")
