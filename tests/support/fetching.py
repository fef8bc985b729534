"""Fetching `a.tar` from the tests' server, and refusals in one line."""

import pytest

from kdet.errors import DownloadError
from kdet.weights.download import download

DATA = bytes(range(256)) * 4096  # 1 MB


def get(server, **more):
    server.files.setdefault("a.tar", DATA)
    return download(f"{server.url}/a.tar", **{"pause": 0.01, "timeout": 5, **more})


def refused(server, *words, **more):
    with pytest.raises(DownloadError) as error:
        get(server, **more)
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text
