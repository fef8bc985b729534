"""The example server on the loopback device: good requests, bad ones, and fifty at once."""

import concurrent.futures
import http.client
import importlib.util
import io
import json
import pathlib
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

PLACE = pathlib.Path(__file__).parents[2] / "examples" / "serve" / "server.py"


@pytest.fixture(scope="module")
def port(detectors):
    spec = importlib.util.spec_from_file_location("server", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.make_server(detectors["yolov3"], port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def huge():
    """A PNG file of 200 megapixels that says so in its header and is 100 bytes long."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def ask(port, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
    connection.request("GET" if body is None else "POST", path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    kind = answer.headers["Content-Type"]
    return answer.status, json.loads(content) if kind == "application/json" else content


def test_an_image_in_and_its_detections_out(port, detectors, photos):
    assert ask(port, "/health") == (200, {"status": "ok", "names": ["0", "1", "2"]})
    status, found = ask(port, "/detect?threshold=0.05", encoded(photos[0]))
    wanted = detectors["yolov3"].detect(photos[0], threshold=0.05)[0].rows()
    assert status == 200 and len(found["detections"]) == len(wanted) > 0
    for one, two in zip(found["detections"], wanted):
        assert one["name"] == two["name"]
        np.testing.assert_allclose(one["box"], two["box"], atol=0.01)
    status, picture = ask(port, "/picture", encoded(photos[0]), {"Content-Type": "image/png"})
    assert status == 200 and Image.open(io.BytesIO(picture)).format == "PNG"


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "said"),
    [
        ("/detect", b"this is text", {}, 400, "expected an image, got something else"),
        ("/detect", b"", {}, 400, "an empty request"),
        ("/detect", huge(), {}, 413, "40000000 pixels"),
        ("/detect", b"x", {"Content-Type": "text/html"}, 415, "got text/html"),
        ("/detect", b"x", {"Content-Length": str(10**9)}, 413, "at most 20971520 bytes"),
        ("/detect", b"x", {"Content-Length": "many"}, 411, "Content-Length"),
        ("/detect?threshold=high", b"x", {}, 400, "got 'high'"),
        ("/detect", b"x" * (25 * 2**20), {}, 413, "at most 20971520 bytes, got 26214400"),
        ("/train", b"x", {}, 404, "POST /detect"),
        ("/", None, {}, 404, "GET /health"),
    ],
)
def test_bad_requests(port, path, body, headers, status, said):
    found, content = ask(port, path, body, headers)
    assert found == status and said in content["error"]
    assert ask(port, "/health")[0] == 200


def test_a_cut_file(port, photos):
    whole = encoded(photos[0])
    status, content = ask(port, "/detect", whole[: len(whole) // 2])
    assert status == 400 and content["error"]


def test_fifty_at_once(port, photos):
    bodies = [encoded(photos[k % 2]) if k % 5 else b"no image" for k in range(50)]
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda body: ask(port, "/detect?threshold=0", body), bodies))
    assert [status for status, _ in answers] == [200 if k % 5 else 400 for k in range(50)]
    counts = {k % 2: len(answers[k][1]["detections"]) for k in range(1, 5)}
    assert all(
        len(found["detections"]) == counts[k % 2]
        for k, (status, found) in enumerate(answers)
        if status == 200
    )
