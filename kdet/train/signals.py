"""Stopping between two steps instead of in the middle of one."""

from __future__ import annotations

import signal
from contextlib import contextmanager


class _Stop:
    asked = False


@contextmanager
def stop_on_signal():
    """Within it, SIGINT and SIGTERM set `.asked` of what it yields; a second one acts as usual."""
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
