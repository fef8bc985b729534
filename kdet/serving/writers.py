"""Writes a `kdet.serving.fixed.FixedDetector` in the formats of other engines."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from kdet.errors import ConfigError

OPSET = 17  # of ONNX; all engines of the last three years read it
CALIBRATION_IMAGES = 100


def write_litert(fixed, path, calibration=None) -> None:
    """Writes a .tflite file.

    Args:
        fixed: the detector.
        path: the file.
        calibration: None, or a list of {name: array} of inputs. With it, weights and values of the
            network are 8-bit integers, and decoding and NMS stay in float32. The values' ranges are
            those that occur with these inputs.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([fixed.concrete], fixed)
    content = converter.convert()
    Path(path).write_bytes(content)
    if calibration is None:
        return
    from ai_edge_quantizer import quantizer, recipe

    network = r"detector\w*/(?!detections)"  # names of the Keras model and of its last layer
    settings = recipe.static_wi8_ai8()
    for part in settings:
        part["regex"] = network
    # its prints would be among the results of a command
    with contextlib.redirect_stdout(sys.stderr):
        work = quantizer.Quantizer(str(path), settings)
        ranges = work.calibrate({"serving_default": calibration})
        work.quantize(ranges).export_model(str(path), overwrite=True)


def write_onnx(fixed, path) -> None:
    """Writes an .onnx file."""
    import onnx
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    # tf2onnx would copy the graph with all weights before each of its passes, to survive an error
    os.environ.setdefault("TF2ONNX_CATCH_ERRORS", "FALSE")
    frozen = convert_variables_to_constants_v2(fixed.concrete)
    outputs = sorted(fixed.concrete.structured_outputs)
    made, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        name="kdet",
        input_names=[tensor.name for tensor in frozen.inputs],
        output_names=[tensor.name for tensor in frozen.outputs],
        opset=OPSET,
    )
    names = {tensor.name: tensor.name.split(":")[0] for tensor in frozen.inputs}
    names |= {tensor.name: name for tensor, name in zip(frozen.outputs, outputs)}
    _rename(made.graph, names)
    onnx.checker.check_model(made)
    onnx.save(made, str(path))


def _rename(graph, names):
    """Gives tensors of an ONNX graph other names."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for places in (node.input, node.output):
            for k, name in enumerate(places):
                places[k] = names.get(name, name)


def write_openvino(fixed, path) -> None:
    """Writes an .xml file and a .bin file of the weights. They are made from an ONNX file."""
    import openvino

    path = Path(path)
    onnx = path.with_suffix(".onnx")
    try:
        write_onnx(fixed, onnx)
        openvino.save_model(openvino.convert_model(str(onnx)), str(path), compress_to_fp16=False)
    finally:
        onnx.unlink(missing_ok=True)


WRITERS = {"litert": write_litert, "onnx": write_onnx, "openvino": write_openvino}


def calibration_of(records, data, names) -> list[dict]:
    """Inputs for `write_litert` from evenly spaced images of a data set.

    Args:
        records: `kdet.data.records.Records`.
        data: of `kdet.serving.fixed.raw_data`.
        names: the names of the inputs.
    """
    from kdet.data.batches import image_batch
    from kdet.data.decode import decode

    if not len(records):
        raise ConfigError(f"{records.folder}: expected images to calibrate with, got none")
    stride = -(-len(records) // CALIBRATION_IMAGES)
    images = (decode(records.read(k))["image"] for k in range(0, len(records), stride))
    batches = (image_batch([image.numpy()], data) for image in images)
    return [{name: np.asarray(batch[name]) for name in names} for batch in batches]
