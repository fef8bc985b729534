"""Where the graph that is being traced must run: here, without XLA, or on other engines."""

import contextlib
import contextvars

_PORTABLE = contextvars.ContextVar("portable", default=False)
_ENGINE = contextvars.ContextVar("engine", default=None)  # or "nms" or "candidates"


def portable() -> bool:
    """Whether the graph must run without XLA."""
    return _PORTABLE.get()


@contextlib.contextmanager
def without_xla():
    """Context in which `xla_compiled` does not compile, so that graphs run without XLA."""
    token = _PORTABLE.set(True)
    try:
        yield
    finally:
        _PORTABLE.reset(token)


@contextlib.contextmanager
def for_engines(nms: bool = True):
    """Context for graphs of one image that other engines read: no XLA, and one operation for NMS.

    Some engines lack the operations of `crop_and_resize_align`, and run loops slowly.

    Args:
        nms: False leaves out the last NMS.
    """
    token = _ENGINE.set("nms" if nms else "candidates")
    try:
        with without_xla():
            yield
    finally:
        _ENGINE.reset(token)


def for_other_engines() -> bool:
    """Whether a graph for other engines is being made."""
    return _ENGINE.get() is not None


def wants_candidates() -> bool:
    """Whether the last NMS is left out."""
    return _ENGINE.get() == "candidates"
