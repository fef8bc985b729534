"""Messages between the workers of a run, as files in the run folder, which all of them share.

After an evaluation all workers need its result, and the chief (worker 0) may merge, measure and
draw for minutes. Meanwhile the others wait here, for a file, and not in a collective operation of
TensorFlow. A collective waits for as long as the strategy's `CommunicationOptions.timeout_seconds`
says. The default is without limit, but then a wait tells nobody which worker is missing, and it
cannot carry detections, whose number differs between workers.

A thread of every worker rewrites a small file from time to time. A worker is lost if another one
waits for it and this file does not change for `SILENCE` seconds. Only changes count, so the clocks
of the machines may differ. TensorFlow's coordination service finds dead processes in the same way,
but it tells only those that are in a collective.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from pathlib import Path

from kdet.errors import ConfigError, LostWorkerError
from kdet.files import read_json, write_json
from kdet.weights.npz import one_line, read_npz, write_npz

SILENCE = 300.0  # seconds; a network file system may show a new file one minute late
POLL = 0.1  # seconds between two looks at a file
PREFIX = ".workers-"


class Exchange:
    """Sends data between the workers of one run. All workers make the same calls in one order.

    With one worker, nothing is written, and every call returns its argument. Leaving the context
    tells the other workers that this one has ended, and why.

    Args:
        out: folder of the run.
        shard: (index of this worker, number of workers).
        token: a number that is the same on all workers and differs from that of every earlier run
            in this folder, so that no file of such a run is taken for a new one.
    Raises:
        ConfigError: the workers do not share the folder.
    """

    def __init__(self, out, shard: tuple[int, int], token: int):
        self.index, self.workers = shard
        self.folder = Path(out) / f"{PREFIX}{token:x}"
        self._calls, self._beats, self._stop = 0, 0, threading.Event()
        if self.workers == 1:
            return
        if self.index == 0:
            for old in Path(out).glob(f"{PREFIX}*"):  # of runs that were killed
                shutil.rmtree(old, ignore_errors=True)
            self.folder.mkdir()
        self._find_folder()
        self._beat()
        self._thread = threading.Thread(target=self._beat_often, daemon=True)
        self._thread.start()

    def gather(self, arrays: dict, meta: dict) -> list[tuple[dict, dict]] | None:
        """Sends arrays of all workers to the chief.

        Args:
            arrays: name -> array of a plain numeric dtype and any shape.
            meta: a dict for JSON.
        Returns:
            On the chief, (arrays, meta) of worker 0, 1, ...; None on the other workers, which do
            not wait.
        Raises:
            LostWorkerError: a worker has ended or shows no sign of life.
        """
        name = self._next("share")
        if self.index:
            write_npz(self.folder / f"{name}-{self.index}.npz", arrays, meta)
            return None
        found = [(arrays, meta)]
        for worker in range(1, self.workers):
            path = self.folder / f"{name}-{worker}.npz"
            self._wait_for(path, worker)
            found.append(read_npz(path))
            path.unlink(missing_ok=True)  # large, and not needed any more
        return found

    def tell(self, value: dict) -> dict:
        """Sends a dict for JSON from the chief to all workers, and returns it on all of them.

        Args:
            value: used on the chief only.
        Raises:
            LostWorkerError: the chief has ended or shows no sign of life.
        """
        path = self.folder / f"{self._next('told')}.json"
        if self.workers == 1:
            return value
        if self.index == 0:
            write_json(path, value)
            return value
        self._wait_for(path, 0)
        return read_json(path)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.workers == 1:
            return
        self._stop.set()
        self._thread.join()
        said = "" if error is None else f" with {kind.__name__}: {one_line(str(error), 300)}"
        self._beat(ended=f"has ended{said}")
        if self.index == 0 and error is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _next(self, kind):
        self._calls += 1
        return f"{kind}-{self._calls}"

    def _find_folder(self):
        end = time.monotonic() + SILENCE
        while not self.folder.is_dir():
            if time.monotonic() > end:
                raise ConfigError(
                    f"worker {self.index} does not see the folder {self.folder} of worker 0: give "
                    "every worker an --out folder on storage that all of them share"
                )
            time.sleep(POLL)

    def _beat_often(self):
        while not self._stop.wait(SILENCE / 10):
            self._beat()

    def _beat(self, **more):
        self._beats += 1
        # The chief may have removed the folder at the end, and one lost sign of life is no harm.
        with contextlib.suppress(OSError):
            if self.folder.is_dir():
                write_json(self._life_of(self.index), {"beats": self._beats, **more})

    def _life_of(self, worker):
        return self.folder / f"worker-{worker}.json"

    def _wait_for(self, path, worker):
        last, since = None, time.monotonic()
        while not path.exists():
            sign = read_json(self._life_of(worker))
            if "ended" in sign and not path.exists():
                raise LostWorkerError(f"worker {worker} {sign['ended']}")
            if sign != last:
                last, since = sign, time.monotonic()
            if time.monotonic() - since > SILENCE:
                raise LostWorkerError(f"worker {worker} shows no sign of life for {SILENCE:g} s")
            time.sleep(POLL)
