"""The start-up messages of TensorFlow stay hidden, and errors do not."""

import json
import os
import socket
import subprocess
import sys

# Two workers agree on a number, which starts gRPC servers and collective operations.
WORKER = """
from kdet.startup import import_tensorflow

import_tensorflow()
from kdet.train import distribution

strategy = distribution.make_strategy()
distribution.check_agreement(strategy, 5, "a number")
print(distribution.worker(strategy))
"""
BROKEN = """
import os

os.write(2, b"a message of the library")
raise ImportError("a reason")
"""


def python(code, **env):
    env = {**os.environ, **env}
    env.pop("TF_CPP_MIN_LOG_LEVEL", None)
    words = [sys.executable, "-c", code]
    return subprocess.Popen(words, stdout=-1, stderr=-1, text=True, env=env)


def test_two_workers_print_only_their_own_lines():
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    places = [f"127.0.0.1:{made.getsockname()[1]}" for made in sockets]
    for made in sockets:
        made.close()
    started = []
    for index in range(2):
        task = {"cluster": {"worker": places}, "task": {"type": "worker", "index": index}}
        started.append(python(WORKER, TF_CONFIG=json.dumps(task)))
    try:
        said = [process.communicate(timeout=100) for process in started]
    finally:
        for process in started:
            process.kill()
    assert said == [("(0, 2)\n", ""), ("(1, 2)\n", "")]


def test_an_import_that_fails_shows_its_messages(tmp_path):
    (tmp_path / "tensorflow.py").write_text(BROKEN)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "from kdet.startup import import_tensorflow; import_tensorflow()"
    _, errors = python(code).communicate(timeout=60)
    assert "a message of the library" in errors and errors.endswith("ImportError: a reason\n")
