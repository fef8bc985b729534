"""Fetching from a server on this machine: whole, resumed, refused, and never a poisoned cache."""

import errno
import hashlib
import json
import shutil
import subprocess
import sys
import time

import pytest
from fetching import DATA, get, refused

from kdet.errors import CheckpointError, DownloadError
from kdet.weights import download as module
from kdet.weights.download import download


def names(home):
    return {p.name for p in home.iterdir()}


def test_once(server, home):
    path = get(server)
    assert path == home / "a.tar" and path.read_bytes() == DATA
    assert names(home) == {"a.tar", "a.tar.json", "a.tar.lock"}
    record = json.loads((home / "a.tar.json").read_text())
    assert (record["size"], record["sha256"]) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert get(server) == path and len(server.seen) == 1


def test_a_cut_connection_is_resumed(server, home):
    server.plan = ["cut 300000", "cut 300000"]
    assert get(server).read_bytes() == DATA
    assert [wanted for _, wanted in server.seen] == [None, "bytes=300000-", "bytes=600000-"]


def test_another_process_goes_on_where_one_was_cut(server, home, monkeypatch):
    monkeypatch.setattr(module, "TRIES", 1)
    server.plan = ["cut 300000", "503"]
    refused(server, "503", str(home / "a.tar"))
    assert (home / "a.tar.part").stat().st_size == 300000 and not (home / "a.tar").exists()
    assert get(server).read_bytes() == DATA
    assert server.seen[-1][1] == "bytes=300000-"


def test_a_file_that_changed_meanwhile_is_not_patched_together(server, home, monkeypatch):
    monkeypatch.setattr(module, "TRIES", 1)
    server.plan = ["cut 300000", "503"]
    refused(server, "503")
    server.files["a.tar"], server.tag = DATA[::-1], '"2"'
    assert get(server).read_bytes() == DATA[::-1]


def test_servers_without_ranges_start_again(server, home):
    server.plan = ["cut 300000", "plain"]
    assert get(server).read_bytes() == DATA


def test_a_part_that_is_no_beginning_is_dropped(server, home):
    home.mkdir(parents=True)
    (home / "a.tar.part").write_bytes(DATA + b"more")
    (home / "a.tar.part.json").write_text(json.dumps({"validator": server.tag}))
    assert get(server).read_bytes() == DATA
    assert [wanted for _, wanted in server.seen] == [f"bytes={len(DATA) + 4}-", None]


def test_not_found_is_said_at_once(server, home):
    server.plan = ["404"] * 9
    refused(server, "404", f"{server.url}/a.tar", f"manually at {home / 'a.tar'}", "KDET_MIRROR")
    assert len(server.seen) == 1 and not (home / "a.tar").exists()


def test_a_stalled_server_times_out_and_is_tried_again(server, home):
    server.plan = ["stall 1000"]
    start = time.monotonic()
    assert get(server, timeout=0.3).read_bytes() == DATA
    assert time.monotonic() - start < 5 and server.seen[1][1] == "bytes=1000-"


def test_a_server_that_always_stalls_is_given_up(server, home):
    server.plan = ["stall 0"] * 20
    refused(server, "timed out", "manually", timeout=0.1)
    assert len(server.seen) == module.TRIES


def test_nobody_there(home):
    with pytest.raises(
        DownloadError, match="cannot download http://127.0.0.1:9/x.tar: .*refused; put"
    ):
        download("http://127.0.0.1:9/x.tar", pause=0.01)


def test_the_recorded_size_and_hash_hold(server, home):
    path = get(server)
    path.write_bytes(DATA[:-1])
    refused(server, str(path), "size is 1048575, but was 1048576", "delete it to download it again")
    path.write_bytes(DATA[:-1] + b"x")
    refused(server, "sha256 is", "when first downloaded", "delete a.tar.json if")
    path.unlink()
    assert get(server).read_bytes() == DATA
    path.unlink()
    server.files["a.tar"] = DATA[:-1] + b"x"
    refused(server, "the downloaded file was refused", "sha256 is")
    server.files["a.tar"] = DATA + b"x"
    refused(server, "the downloaded file was refused", "size is 1048577")
    assert names(home) == {"a.tar.json", "a.tar.lock"}
    server.files["a.tar"] = DATA
    assert get(server).read_bytes() == DATA


def test_what_is_no_checkpoint_is_not_kept(server, home):
    def check(path):
        raise CheckpointError(f"{path.name}: a login page")

    refused(server, "the downloaded file was refused: a.tar.part: a login page", check=check)
    assert names(home) == {"a.tar.lock"}
    assert get(server, check=lambda path: None).exists()


def test_a_file_put_there_by_hand(server, home):
    home.mkdir(parents=True)
    (home / "a.tar").write_bytes(b"mine")
    assert get(server).read_bytes() == b"mine" and not server.seen
    (home / "a.tar").write_bytes(b"else")
    refused(server, "sha256 is")


def test_mirrors(server, home, monkeypatch, tmp_path):
    server.files["a.tar"] = DATA
    assert download("http://gone.invalid/x/a.tar", mirror=f"{server.url}/") == home / "a.tar"
    assert server.seen == [("/there/a.tar", None)]
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "b.tar").write_bytes(b"b")
    monkeypatch.setenv("KDET_MIRROR", (tmp_path / "disk").as_uri())
    assert download("http://gone.invalid/x/b.tar").read_bytes() == b"b"


def test_a_full_disk(server, home, monkeypatch):
    refusing = shutil.disk_usage(home.parent.parent)._replace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: refusing)
        refused(server, "no space left for a.tar", "KDET_HOME")

    class Full:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(
            module,
            "open",
            lambda *a: Full(open(*a)) if "b" in a[1] and "r" not in a[1] else open(*a),
            raising=False,
        )
        refused(server, "no space left")
    assert not (home / "a.tar").exists() and not (home / "a.tar.json").exists()
    assert get(server).read_bytes() == DATA


def test_two_processes_at_once_fetch_once(server, home):
    server.files["a.tar"], server.plan = DATA, ["slow 100000"]
    code = (
        "from kdet.weights.download import download\n"
        f"print(download('{server.url}/a.tar').stat().st_size)"
    )
    jobs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True)
        for _ in range(2)
    ]
    said = [job.communicate(timeout=60) for job in jobs]
    assert [out.strip() for out, _ in said] == [str(len(DATA))] * 2, said
    assert len(server.seen) == 1
