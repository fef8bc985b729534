"""Fetching `a.tar` from the tests' server, and refusals in one line."""

import pytest

from kdet.weights.fetch import FetchError, fetch

DATA = bytes(range(256)) * 4096  # 1 MB


def get(server, **more):
    server.files.setdefault("a.tar", DATA)
    return fetch(f"{server.url}/a.tar", **{"pause": 0.01, "timeout": 5, **more})


def refused(server, *words, **more):
    with pytest.raises(FetchError) as error:
        get(server, **more)
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text
