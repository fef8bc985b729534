"""Fetching where little can be relied on: mirrors, homes, servers that talk nonsense."""

import contextlib
import socket
import threading

import pytest
from fetching import get, refused

from kdet.errors import ConfigError, DownloadError
from kdet.weights import download as module
from kdet.weights.download import download


def test_an_argument_comes_before_the_variable_and_folders_will_do(
    server, home, monkeypatch, tmp_path
):
    (tmp_path / "a.tar").write_bytes(b"mine")
    monkeypatch.setenv("KDET_MIRROR", "http://gone.invalid")
    assert get(server, mirror=tmp_path).read_bytes() == b"mine" and not server.seen
    with pytest.raises(ConfigError, match="a mirror is http.* got 'ftp://there'"):
        get(server, mirror="ftp://there")
    (home / "a.tar").unlink()
    refused(server, "cannot download http://[/a.tar", mirror="http://[")


def test_where_nothing_can_be_kept(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDET_HOME", str(tmp_path / "file"))
    refused(server, "cannot store a.tar in this folder", "set KDET_HOME to another folder")
    monkeypatch.delenv("KDET_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert module.cache_dir() == tmp_path / ".cache" / "kdet"
    monkeypatch.setenv("KDET_HOME", "~/there")
    assert module.cache_dir() == tmp_path / "there"

    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(module.Path, "expanduser", homeless)
    with pytest.raises(DownloadError, match="no home folder .*; set KDET_HOME"):
        module.cache_dir()


def test_a_cache_that_nobody_may_write_to(server, home, monkeypatch):
    path = get(server)
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    monkeypatch.setattr(module, "file_lock", None)
    monkeypatch.setattr(module, "write_json", None)
    assert get(server) == path
    (home / "a.tar.json").unlink()
    assert get(server) == path and len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nhello",
        b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
        b"\0\1\2 no answer at all\r\n\r\n",
        b"",
    ],
)
def test_servers_that_speak_nonsense(answer, home):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    with listening.accept()[0] as connection:
                        connection.recv(9999)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(DownloadError) as error:
            download(f"http://127.0.0.1:{listening.getsockname()[1]}/a.tar", pause=0.01, timeout=2)
    assert "cannot download" in str(error.value) and "\n" not in str(error.value)
    assert not (home / "a.tar").exists() and not (home / "a.tar.json").exists()


def test_lengths_that_are_no_numbers_are_unsaid(home):
    said = b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nhello"
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with listening.accept()[0] as connection:
                connection.recv(9999)
                connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/a.tar"
        assert download(address, pause=0.01).read_bytes() == b"hello"
