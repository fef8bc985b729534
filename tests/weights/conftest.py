"""A home for fetched files, and a server that can misbehave."""

import http.server
import re
import threading
import time

import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KDET_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KDET_MIRROR", raising=False)
    return tmp_path / "home" / "weights"


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `plan` says what happens to each request in turn, "ok" when it is used up.

    "cut N": closes after N bytes; "stall N": sends nothing after N bytes; "404", "503": that
    status; "plain": ignores ranges. `seen` holds (path, Range header or None) of the requests.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.plan, self.seen, self.tag = {}, [], [], '"1"'
        self.release = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/there"


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.seen.append((self.path, wanted))
        what, _, count = (server.plan.pop(0) if server.plan else "ok").partition(" ")
        if what.isdigit():
            self.send_error(int(what))
            return
        data = server.files[self.path.rpartition("/")[2]]
        start = int(re.match(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        if what == "plain" or self.headers.get("If-Range") != server.tag:
            start = 0
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        sent = data[start:] if what in ("ok", "plain") else data[start : start + int(count or 0)]
        self.wfile.write(sent)
        self.wfile.flush()
        if what == "stall":
            server.release.wait(10)
        if what == "slow":
            time.sleep(0.3)
            self.wfile.write(data[start + int(count) :])
        self.close_connection = True


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.release.set()
    made.shutdown()
    made.server_close()
