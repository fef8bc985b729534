"""A lock between processes, let go by the system when its holder dies."""

from __future__ import annotations

import contextlib
import sys
import time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def held(path, waiting: str):
    """Holds an exclusive lock on a file while the block runs.

    Args:
        path: the lock's file, made if need be, and left there.
        waiting: said on stderr, once, if another process holds it.
    """
    with open(path, "ab") as file:
        said = False
        while not _try(file):
            if not said:
                print(waiting, file=sys.stderr, flush=True)
                said = True
            time.sleep(0.2)
        yield


def _try(file):
    if fcntl is None:
        import msvcrt

        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
