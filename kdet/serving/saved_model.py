"""Writes a detector as a SavedModel, which needs only TensorFlow."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import tensorflow as tf

from kdet.data.batches import prepare
from kdet.data.decode import decode_image
from kdet.files import temporary_path
from kdet.ops import graphs
from kdet.ops.tf_kernels import compiled
from kdet.serving import check_target
from kdet.serving.files import description
from kdet.serving.fixed import FixedDetector, fixed_data
from kdet.serving.formats import DESCRIPTION


def export(detector, folder, size=None) -> Path:
    """Writes a SavedModel that includes image preparation and NMS. See `kdet.export`."""
    folder = Path(folder)
    check_target(folder, "saved_model")
    with temporary_path(folder) as temporary:
        temporary.mkdir(parents=True)
        module = Service(detector.in_float32(), temporary, size)
        signatures = {"serving_default": module.serve, "serve_bytes": module.serve_bytes}
        signatures["fixed"] = module.fixed.concrete
        # A server may have no XLA compiler, so NMS is exported in its form without XLA.
        with graphs.without_xla():
            tf.saved_model.save(module, temporary, signatures=signatures)
        for asset in ("labels.json", DESCRIPTION):
            (temporary / asset).unlink()
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    return folder


def _asset(path, content):
    path.write_text(json.dumps(content))
    return tf.saved_model.Asset(str(path))


class Service(tf.Module):
    """The saved object: the detector's weights, its label map and the two signatures."""

    def __init__(self, detector, folder, size=None):
        super().__init__()
        labels = {"names": detector.labels.names, "ids": detector.labels.ids}
        data = fixed_data(detector.data, size)
        self.fixed = FixedDetector(detector, data)
        about = description(detector, self.fixed, data, "saved_model")
        self.labels = _asset(Path(folder) / "labels.json", labels)
        self.description = _asset(Path(folder) / DESCRIPTION, about)
        # traced once for both signatures; a lambda hides it, because saving would trace it again
        network = compiled(detector.model)
        self._network = lambda inputs: network(inputs)
        self._shapes = dict(detector.model.output)
        self._data = detector.data

    @tf.function(
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, "image")], autograph=False
    )
    def serve(self, image):
        """Detects objects on images that have the same size."""
        signature = {
            "image": tf.TensorSpec((None, None, 3), tf.float32),
            "resized_size": tf.TensorSpec((2,), tf.float32),
            "original_size": tf.TensorSpec((2,), tf.float32),
        }
        inputs = tf.map_fn(
            lambda one: prepare(one, self._data), image, fn_output_signature=signature
        )
        return self._outputs(self._network(inputs))

    @tf.function(
        input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")], autograph=False
    )
    def serve_bytes(self, image_bytes):
        """Detects objects on encoded images of any sizes, which are processed one by one."""
        outputs = {name: x for name, x in self._shapes.items() if name != "valid"}
        signature = {name: tf.TensorSpec(x.shape[1:], x.dtype) for name, x in outputs.items()}
        signature["num_detections"] = tf.TensorSpec((), tf.int32)

        def one(encoded):
            inputs = prepare(decode_image(encoded), self._data)
            inputs = {name: value[None] for name, value in inputs.items()}
            outputs = self._outputs(self._network(inputs))
            return {name: value[0] for name, value in outputs.items()}

        return tf.map_fn(one, image_bytes, fn_output_signature=signature)

    def _outputs(self, found):
        outputs = {name: found[name] for name in found if name != "valid"}
        outputs["num_detections"] = tf.reduce_sum(tf.cast(found["valid"], tf.int32), axis=1)
        return outputs
