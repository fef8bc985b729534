"""Runs that are killed, and runs of two workers on this machine."""

import json
import time

import fake_family
import numpy as np
import pytest
import tensorflow as tf
from workers import addresses

from kdet.errors import CheckpointError
from kdet.weights.npz import read_npz

ALONE = tf.distribute.get_strategy()
MANY = 10**6


def wait_for_step(path, step, processes, seconds=60):
    """Returns once a checkpoint has reached a step; fails when a process ends before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert all(p.poll() is None for p in processes), "a process ended early"
        try:
            if read_npz(path)[1]["step"] >= step:
                return
        except CheckpointError:
            time.sleep(0.05)
    pytest.fail(f"step {step} was not reached in {seconds} s")


def read(out):
    with np.load(out) as stored:
        return json.loads(str(stored["report"]))["job"], {
            k[4:]: stored[k] for k in stored.files if k != "report"
        }


@pytest.fixture
def workers(in_process, tmp_path):
    """Callable: job -> two started processes, each of one CPU, writing w0.npz and w1.npz."""
    started = []

    def start(job):
        cluster = {"worker": addresses(2)}
        made = []
        for index in range(2):
            task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
            out, env = tmp_path / f"w{index}.npz", {"TF_CONFIG": json.dumps(task)}
            made.append(in_process(out, {"job": job}, env=env, wait=False))
        started.extend(made)
        return made

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_killed_and_started_again_equals_uninterrupted(in_process, tmp_path):
    file, out = tmp_path / "last.npz", tmp_path / "out.npz"
    job = {"norm": "batch", "clip": 1.0, "file": str(file), "steps": MANY}
    process = in_process(out, {"job": job}, wait=False)
    wait_for_step(file, 3, [process])
    process.kill()
    process.communicate()
    stopped = read_npz(file)[1]["step"]  # whole, whatever was being written
    until = stopped + 4
    in_process(out, {"job": {**job, "steps": until}})
    report, values = read(out)
    assert report["first"] == stopped and len(report["seen"]) == 4
    whole, _ = fake_family.job(ALONE, steps=until, norm="batch", clip=1.0)
    assert values.keys() == whole.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)


@pytest.mark.parametrize("norm", ["batch", "frozen"])
def test_two_workers_equal_one_process(workers, tmp_path, norm):
    job = {"norm": norm, "clip": 0.5, "jit": "on" if norm == "frozen" else "off"}
    for process in workers(job):
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said[-3000:]
    whole, expected = fake_family.job(ALONE, norm=norm, clip=0.5)
    (report, first), (other, second) = read(tmp_path / "w0.npz"), read(tmp_path / "w1.npz")
    for said in (report["agreement"], other["agreement"]):
        assert said[0] is None and said[1].startswith("the workers disagree on the weights")
    assert report["error"] is None and len(report["seen"]) == 10
    for step, same in zip(report["seen"], expected["seen"]):
        assert step == pytest.approx(same, rel=1e-5)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
        np.testing.assert_allclose(value, whole[name], rtol=1e-5, atol=1e-5, err_msg=name)
    assert first.keys() == whole.keys()


def test_lost_worker_ends_the_other_and_the_run_goes_on_later(workers, tmp_path):
    file = tmp_path / "last.npz"
    job = {"norm": "batch", "file": str(file), "steps": MANY}
    chief, other = workers(job)
    wait_for_step(file, 3, [chief, other])
    other.kill()
    chief.communicate(timeout=60)
    report, _ = read(tmp_path / "w0.npz")
    assert report["error"].startswith("lost: ") and "\n" not in report["error"]
    until = read_npz(file)[1]["step"] + 3
    for process in workers({**job, "steps": until}):
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said[-3000:]
    _, values = read(tmp_path / "w0.npz")
    whole, _ = fake_family.job(ALONE, steps=until, norm="batch")
    # Sums of two workers round differently from those of one: compare, not to the bit.
    for name, value in values.items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-3, atol=1e-3, err_msg=name)
