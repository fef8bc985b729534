"""A small server for a detector, as a start for your own. It needs kdet and nothing else.

    python server.py cells.tflite --port 8000

    curl --data-binary @photo.jpg 'http://localhost:8000/detect?threshold=0.5'
    curl --data-binary @photo.jpg 'http://localhost:8000/picture?threshold=0.5' -o found.png
    curl http://localhost:8000/health

Images that arrive together are detected together. A request that cannot be served gets a status of
4xx and JSON with "error". Put a web server with TLS and logins in front of it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import queue
import socket
import threading
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from PIL import Image

import kdet
from kdet.predict import load_image

MAX_BYTES = 20 * 2**20  # of a file
MAX_PIXELS = 40_000_000  # of an image; one takes 120 MB as an array
MAX_REQUESTS = 8  # that are read and decoded at the same time; others wait
WAIT = 20  # seconds that a request may wait, and that a client may be silent
PATIENCE = 2  # seconds to wait for the rest of a refused request
BATCH = 4  # images per call of the detector
TYPES = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")


class Refused(Exception):
    """A request that is answered with a status and a message."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Worker(threading.Thread):
    """Detects the images of all requests, those that wait together in one call."""

    def __init__(self, detector):
        super().__init__(daemon=True)
        self.detector, self.jobs = detector, queue.Queue()

    def run(self):
        """Works for ever."""
        while True:
            jobs = [self.jobs.get()]
            while len(jobs) < BATCH and not self.jobs.empty():
                jobs.append(self.jobs.get())
            try:
                found = self.detector.detect([image for image, _ in jobs], batch=BATCH)
                for (_, future), one in zip(jobs, found):
                    future.set_result(one)
            except Exception as error:  # the next images must still be detected
                for _, future in jobs:
                    future.set_exception(error)

    def detect(self, image):
        """The detections of a PIL image."""
        future = Future()
        self.jobs.put((image, future))
        return future.result()


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one client."""

    timeout = WAIT

    def do_GET(self):
        """/health says that the server is there, and what it finds."""
        if urlsplit(self.path).path != "/health":
            return self.refuse(404, "expected GET /health, POST /detect or POST /picture")
        self.answer(200, {"status": "ok", "names": list(self.server.worker.detector.labels.names)})

    def do_POST(self):
        """/detect gives JSON, /picture gives a PNG file."""
        try:
            address = urlsplit(self.path)
            if address.path not in ("/detect", "/picture"):
                raise Refused(404, "expected POST /detect or POST /picture")
            threshold = threshold_of(address.query)
            if not self.server.slots.acquire(timeout=WAIT):
                raise Refused(429, "too many requests; try again later")
            try:
                found = self.server.worker.detect(image_of(self.body())).above(threshold)
            finally:
                self.server.slots.release()
            if address.path == "/detect":
                return self.answer(200, {"detections": found.rows()})
            file = io.BytesIO()
            found.draw(threshold).save(file, "PNG")
            self.answer(200, file.getvalue(), "image/png")
        except Refused as error:
            self.refuse(error.status, str(error))
        except kdet.KdetError as error:
            self.refuse(400, str(error))
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the client is gone

    def body(self):
        """The bytes of the request."""
        kind = self.headers.get_content_type() if "Content-Type" in self.headers else TYPES[1]
        if not kind.startswith(TYPES):
            raise Refused(415, f"expected an image, got {kind}")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Refused(411, "expected a Content-Length")
        if not int(length):
            raise Refused(400, "expected an image, got an empty request")
        if int(length) > MAX_BYTES:
            raise Refused(413, f"expected at most {MAX_BYTES} bytes, got {length}")
        return self.rfile.read(int(length))

    def refuse(self, status, message):
        """Sends an error and closes the connection.

        The client may still be sending. If nobody read that, it would lose the answer, so some of
        it is read and thrown away.
        """
        self.close_connection = True
        self.answer(status, {"error": message})
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(PATIENCE)
        left = 10 * MAX_BYTES
        with contextlib.suppress(OSError):
            while left > 0 and (part := self.rfile.read1(min(left, 2**16))):
                left -= len(part)

    def answer(self, status, content, kind="application/json"):
        """Sends an answer."""
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def threshold_of(query) -> float:
    """The parameter "threshold", 0.3 by default."""
    text = parse_qs(query).get("threshold", ["0.3"])[-1]
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise Refused(400, f"expected a threshold of 0 to 1, got {text!r}")
    return value


def image_of(body):
    """The image of a request; its size is checked before its pixels are decoded."""
    try:
        image = Image.open(io.BytesIO(body))
    except Image.DecompressionBombError:
        raise Refused(413, f"expected at most {MAX_PIXELS} pixels") from None
    except Exception:  # Pillow lets through whatever its parsers meet in damaged files
        raise Refused(400, "expected an image, got something else") from None
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width}x{image.height}"
        raise Refused(413, f"expected at most {MAX_PIXELS} pixels, got {size}")
    return load_image(image)


class Server(ThreadingHTTPServer):
    """Many requests may arrive at once; by default, Python lets five wait and resets the others."""

    request_queue_size = 256


def make_server(detector, port=8000, host="127.0.0.1"):
    """The server, which `serve_forever` starts."""
    server = Server((host, port), Handler)
    server.worker, server.slots = Worker(detector), threading.Semaphore(MAX_REQUESTS)
    server.worker.start()
    return server


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="an exported detector, a run, a checkpoint or a row")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: other machines may connect")
    flags = parser.parse_args()
    with make_server(kdet.load(flags.model), flags.port, flags.host) as server:
        print(f"http://{flags.host}:{flags.port}/health", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
