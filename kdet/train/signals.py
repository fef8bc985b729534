"""Makes a run stop between two steps after a signal, and not in the middle of a step."""

from __future__ import annotations

import signal
from contextlib import contextmanager


class _Stop:
    asked = False


@contextmanager
def stop_on_signal():
    """A context in which SIGINT and SIGTERM set `.asked` of the yielded object to True.

    A second signal has its usual effect.
    """
    stop, before = _Stop(), {}

    def handle(number, frame):
        stop.asked = True
        signal.signal(number, before[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
