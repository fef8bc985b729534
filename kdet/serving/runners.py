"""Runs exported detectors: one class for each engine, which is imported when it is used.

A runner is made with the path of the export. It is called with {name: array} of all inputs, and
returns {name: array} of all outputs; see `kdet.serving.fixed.FixedDetector`.
"""

from __future__ import annotations

import os
from pathlib import Path


def threads() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class SavedModel:
    """TensorFlow runs the signature "fixed"."""

    def __init__(self, path):
        import tensorflow as tf

        self._module = tf.saved_model.load(str(path))  # it owns the variables
        self._call = self._module.signatures["fixed"]

    def __call__(self, inputs):
        """The outputs for one image."""
        return {name: value.numpy() for name, value in self._call(**inputs).items()}


class LiteRT:
    """LiteRT, the former TensorFlow Lite, runs the only signature of a file."""

    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=threads())
        self._call = self._interpreter.get_signature_runner()

    def __call__(self, inputs):
        """The outputs for one image."""
        return self._call(**inputs)


class ONNXRuntime:
    """ONNX Runtime on the CPU, or on the accelerator that its package was built for."""

    def __init__(self, path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3  # errors
        providers = onnxruntime.get_available_providers()
        self._session = onnxruntime.InferenceSession(str(path), options, providers)
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, inputs):
        """The outputs for one image."""
        return dict(zip(self._names, self._session.run(None, inputs)))


class OpenVINO:
    """OpenVINO on the CPU, in float32."""

    def __init__(self, path):
        import openvino

        # some CPUs would compute in bfloat16, which has three digits
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads()}
        self._model = openvino.Core().compile_model(str(Path(path)), "CPU", options)

    def __call__(self, inputs):
        """The outputs for one image."""
        found = self._model(inputs)
        return {output.get_any_name(): found[output] for output in self._model.outputs}
