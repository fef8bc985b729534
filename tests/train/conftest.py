"""Runs `fake_family` (tests/support) in processes of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FAMILY = Path(__file__).parents[1] / "support" / "fake_family.py"


@pytest.fixture(scope="session")
def in_process():
    """Callable: (out, jobs, replicas) -> (reports, values of job and replica) from a process."""

    def run(out, jobs, replicas=0, env=None, wait=True):
        text = json.dumps({"out": str(out), "replicas": replicas, "jobs": jobs})
        process = subprocess.Popen(
            [sys.executable, str(FAMILY), text],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return finish(process, out) if wait else process

    def finish(process, out):
        try:
            said, _ = process.communicate(timeout=300)
        finally:
            process.kill()
        assert process.returncode == 0, said[-3000:]
        with np.load(out) as stored:
            return json.loads(str(stored["report"])), {k: stored[k] for k in stored.files[1:]}

    run.finish = finish
    return run
