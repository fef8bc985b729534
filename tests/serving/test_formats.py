"""Exported files find what the detector finds, run by their engines."""

import base64
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kdet
from kdet.data.batches import image_batch
from kdet.errors import ConfigError
from kdet.serving import runners
from kdet.serving.check import agreement
from kdet.serving.engines import from_export
from kdet.serving.fixed import fixed_data
from kdet.serving.formats import ENGINES as ENGINE_LIST
from kdet.serving.formats import read_description

ROOT = pathlib.Path(__file__).parents[2]
for package in ("ai_edge_litert", "ai_edge_quantizer", "onnxruntime", "openvino", "tf2onnx"):
    pytest.importorskip(package)

ENGINES = {"x.tflite": ["litert"], "x.onnx": ["onnxruntime", "openvino"]}
FAMILIES = ["ssd", "yolov3", "retinanet", "mask_rcnn", "cascade_rcnn", "faster_rcnn_c4"]
# A process that cannot import TensorFlow, Keras or kdet runs a file: argv has the runner, the file,
# the inputs and the outputs.
ALONE = f"""
import importlib.util, sys
import numpy as np

sys.modules.update(tensorflow=None, keras=None, kdet=None)
runner, path, inputs, outputs = sys.argv[1:]
spec = importlib.util.spec_from_file_location("runners", {runners.__file__!r})
runners = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runners)
np.savez(outputs, **getattr(runners, runner)(path)(dict(np.load(inputs))))
"""


def run_alone(engine, path, inputs, folder):
    """The outputs of an engine in a process that has nothing but the engine and NumPy."""
    files = folder / "inputs.npz", folder / "outputs.npz"
    np.savez(files[0], **inputs)
    words = [sys.executable, "-c", ALONE, ENGINE_LIST[engine].runner, path, *files]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return dict(np.load(files[1]))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_engine_finds_the_same(family, name, detectors, exports, photos, tmp_path):
    detector, path = detectors[family], exports(family, name)
    size = read_description(path)["image"]
    data = fixed_data(detector.data, (size["height"], size["width"]))
    for engine in ENGINES[name]:
        exported = kdet.Detector.from_export(path, engine)
        for photo in photos:
            wanted = {n: np.asarray(v) for n, v in detector(image_batch([photo], data)).items()}
            found = exported(image_batch([photo], exported.data))
            assert wanted["valid"].sum() >= 4 and np.ptp(wanted["scores"]) > 0.01
            assert {n: v.shape for n, v in found.items()} == {n: v.shape for n, v in wanted.items()}
            assert agreement(found, wanted) == 1.0, (engine, found, wanted)
            if "masks" in wanted:
                same = np.abs(found["scores"] - wanted["scores"])[0] < 1e-6
                error = np.abs(found["masks"] - wanted["masks"])[0, same]
                assert same.any() and error.max() < 1e-3
        names = read_description(path)["inputs"]
        inputs = {n: np.asarray(image_batch(photos[1:], exported.data)[n]) for n in names}
        alone = run_alone(engine, path, inputs, tmp_path)
        np.testing.assert_array_equal(alone["boxes"], found["boxes"])


def copied(path, folder):
    """A file and its description, copied to a.tflite in another folder."""
    shutil.copy(path, folder / "a.tflite")
    shutil.copy(f"{path}.json", folder / "a.tflite.json")
    return folder / "a.tflite"


def test_a_file_detects_as_the_detector_does(detectors, exports, photos, tmp_path):
    """Boxes, tiles and the labels; the file and its description can be moved together."""
    detector = detectors["yolov3"]
    exported = kdet.load(copied(exports("yolov3", "x.tflite"), tmp_path))
    assert exported.engine == "litert"
    for options in ({}, {"tiles": 64}):
        for one, two in zip(detector.detect(photos, **options), exported.detect(photos, **options)):
            np.testing.assert_allclose(one.boxes, two.boxes, atol=0.1)
            assert one.names == two.names and len(one) > 3


def test_openvino_files(detectors, photos, tmp_path):
    detectors["yolov3"].export(tmp_path / "a.xml")
    assert {p.name for p in tmp_path.iterdir()} == {"a.xml", "a.bin", "a.xml.json"}
    found = from_export(tmp_path / "a.xml").detect(photos)
    wanted = detectors["yolov3"].detect(photos)
    np.testing.assert_allclose(found[0].boxes, wanted[0].boxes, atol=0.1)


def test_candidates_without_nms(detectors, tmp_path):
    """More boxes than NMS keeps, and the best one is the same."""
    path = detectors["yolov3"].export(tmp_path / "a.tflite", nms=False)
    with pytest.raises(ConfigError, match="without NMS"):
        from_export(path)
    from ai_edge_litert.interpreter import Interpreter

    call = Interpreter(str(path)).get_signature_runner()
    image = np.zeros((1, 96, 96, 3), np.float32)
    found = call(image=image, original_size=np.array([[96, 96]], np.float32))
    assert set(found) == {"boxes", "scores", "labels"}
    assert found["scores"].shape[1] > 100


def test_eight_bits(detectors, exports, photos, records, tmp_path):
    """The file is a third as large and finds nearly the same."""
    large = exports("ssd", "x.tflite")
    small = detectors["ssd"].export(tmp_path / "b.tflite", int8=records)
    assert small.stat().st_size < 0.45 * large.stat().st_size
    exact, coarse = from_export(large), from_export(small)
    one, two = (d(image_batch(photos, d.data)) for d in (exact, coarse))
    best = one["scores"][:, 0], two["scores"][:, 0]
    np.testing.assert_allclose(*best, atol=0.15)
    assert (one["boxes"] != two["boxes"]).any()


def test_a_script_without_kdet_or_tensorflow_reads_the_file(detectors, exports, photos, tmp_path):
    path = exports("ssd", "x.tflite")
    Image.fromarray(photos[0]).save(tmp_path / "photo.png")
    script = str(ROOT / "examples" / "litert_without_kdet.py")
    blocked = "import sys; sys.modules.update(tensorflow=None, keras=None, kdet=None); "
    run = f"{blocked}import runpy; runpy.run_path({script!r})"
    words = [sys.executable, "-c", run, str(path), str(tmp_path / "photo.png"), "0.1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = detectors["ssd"].detect(photos[0], threshold=0.1)[0].rows()
    assert len(rows) == len(wanted)
    assert [row["name"] for row in rows[:3]] == [row["name"] for row in wanted[:3]]
    boxes = [[row["box"] for row in found[:3]] for found in (rows, wanted)]
    np.testing.assert_allclose(*boxes, atol=3)  # Pillow resizes a little differently


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "a.tflite", "format": "onnx"}, r"ends in \.onnx"),
        ({"path": "a.tflite", "format": "coreml"}, "formats are saved_model, litert"),
        ({"path": "a", "nms": False}, "for the formats of files"),
        ({"path": "no/a.onnx"}, "there is no folder"),
        ({"path": "a.onnx", "int8": "records"}, "int8 is for the format litert; got onnx"),
        ({"path": "a.tflite", "size": (64, 96)}, "square"),
    ],
)
def test_what_cannot_be_exported(options, said, detectors, tmp_path):
    path = tmp_path / options.pop("path")
    with pytest.raises(ConfigError, match=said):
        detectors["yolov3"].export(path, **options)
    assert not list(tmp_path.iterdir())


def test_a_file_that_disagrees_is_not_written(detectors, exports, tmp_path, monkeypatch):
    detector = detectors["yolov3"]
    path = copied(exports("yolov3", "x.tflite"), tmp_path)
    before = path.read_bytes()
    other = type(detector).__call__
    monkeypatch.setattr(
        type(detector),
        "__call__",
        lambda self, x: {n: v + 9 if n == "boxes" else v for n, v in other(self, x).items()},
    )
    with pytest.raises(ConfigError, match="only 0% of the best detections of litert"):
        detector.export(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_a_missing_package_is_named(detectors, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ConfigError, match=r'pip install "kdet\[litert\]"'):
        detectors["yolov3"].export(tmp_path / "a.tflite")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": "litert"}'])
def test_damaged_descriptions(content, tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"TFL3")
    if content is not None:
        (tmp_path / "a.tflite.json").write_text(content)
    with pytest.raises(ConfigError, match="is missing|expected JSON"):
        from_export(tmp_path / "a.tflite")


def test_other_converters_read_the_saved_model(detectors, exports, photos, tmp_path):
    """The weights are in it, and the signature of fixed shapes is like an exported file."""
    detector = detectors["yolov3"]
    path = exports("yolov3", "saved")
    exported = from_export(path)
    assert exported.engine == "tensorflow"
    inputs = image_batch(photos[:1], exported.data)
    inputs = {name: np.asarray(inputs[name]) for name in ("image", "original_size")}
    wanted = {n: np.asarray(v) for n, v in detector(image_batch(photos[:1], detector.data)).items()}

    def check(found):
        valid = np.arange(found["scores"].shape[1])[None] < found["num_detections"][:, None]
        assert agreement({**found, "valid": valid}, wanted) == 1.0

    check(exported._run(inputs))
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path), signature_keys=["fixed"])
    (tmp_path / "a.tflite").write_bytes(converter.convert())
    check(runners.LiteRT(tmp_path / "a.tflite")(inputs))
    words = ["--saved-model", path, "--signature_def", "fixed", "--opset", "17"]
    words = [sys.executable, "-m", "tf2onnx.convert", *words, "--output", tmp_path / "a.onnx"]
    quick = {**os.environ, "TF2ONNX_CATCH_ERRORS": "FALSE"}  # see `write_onnx`
    subprocess.run(list(map(str, words)), check=True, capture_output=True, env=quick)
    check(runners.ONNXRuntime(tmp_path / "a.onnx")(inputs))


def test_a_request_of_tensorflow_serving(detectors, exports, photos):
    """Its REST documentation: instances hold base64, each output has one entry per instance."""
    path = exports("yolov3", "saved")
    files = []
    for photo in photos:
        file = io.BytesIO()
        Image.fromarray(photo).save(file, "PNG")
        files.append({"image_bytes": {"b64": base64.b64encode(file.getvalue()).decode()}})
    request = json.loads(json.dumps({"signature_name": "serve_bytes", "instances": files}))
    served = tf.saved_model.load(str(path)).signatures[request["signature_name"]]
    rows = [base64.b64decode(row["image_bytes"]["b64"]) for row in request["instances"]]
    found = served(image_bytes=tf.constant(rows))
    assert set(found) == {"boxes", "scores", "labels", "num_detections"}
    assert not [name for name in found if name.endswith("_bytes")]  # these would be base64
    for k, photo in enumerate(photos):
        one = detectors["yolov3"].detect(photo, threshold=0)[0]
        assert found["num_detections"][k] == len(one)
        np.testing.assert_allclose(found["scores"][k, : len(one)], one.scores, atol=1e-5)
