"""Files that kdet wrote before its names changed must load, and give what they gave.

The fixtures were made by kdet at commit 67784b8, when layers, modules and config fields had other
names. People keep such files for years, so a new name must not cost them one: every layer that
Keras stored, every field that a checkpoint describes its recipe with. `README.md` beside the
fixtures says how they were made, and why nobody may make them again.
"""

import dataclasses
import json
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest

import kdet.models
from kdet.config.text import from_dict

SAVED = Path(__file__).parent / "data_files" / "saved"
KERAS_FILES = ("retinanet", "rcnn", "rcnn_train", "ssd", "yolo")
# Keras 3.15 wrote the files; older versions refuse settings that their classes do not have yet. All
# of them stand at their defaults, so that nothing changes without them.
KERAS_315 = {"renorm", "renorm_clipping", "renorm_momentum"}  # BatchNormalization
KERAS_315 |= {"input_axes", "output_axes", "optional", "ragged"}  # GlorotUniform, InputLayer
RECIPES = (
    "cascade_rcnn_r50_fpn_1x",
    "mask_rcnn_r50_1x",
    "retinanet_r50_fpn_1x",
    "ssd_mobilenet_v1_voc",
    "yolov3_darknet",
)


@pytest.fixture(scope="module")
def expected():
    with np.load(SAVED / "expected.npz") as stored:
        return dict(stored)


@pytest.fixture
def keras_file(name, tmp_path):
    """The .keras file, on older versions of Keras as they would have written it."""
    path = SAVED / f"{name}.keras"
    if tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 15):
        return path
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / path.name, "w") as new:
        for part in old.namelist():
            data = old.read(part)
            if part == "config.json":
                data = json.dumps(as_older(json.loads(data)))
            new.writestr(part, data)
    return tmp_path / path.name


def as_older(value):
    """A stored Keras config without what older versions do not know."""
    if isinstance(value, list):
        return [as_older(part) for part in value]
    if not isinstance(value, dict):
        return value
    value = {name: as_older(part) for name, part in value.items() if name not in KERAS_315}
    if str(value.get("module")).startswith("keras.src.ops"):
        value["config"].pop("name", None)
    return value


def read_json(name):
    return json.loads((SAVED / name).read_text())


def inputs_for(file, expected):
    """The inputs that the old code got: two pictures of 128 x 128 made of 8 x 8 blocks."""
    start = f"{file}/in/"
    inputs = {k.removeprefix(start): v for k, v in expected.items() if k.startswith(start)}
    image = expected["image_blocks"].repeat(8, axis=1).repeat(8, axis=2)
    return {**inputs, "image": image.astype("float32")}


def check_outputs(file, found, expected):
    """Numbers up to rounding, in units of an output's largest one; labels and flags exactly."""
    start = f"{file}/out/"
    wanted = {k.removeprefix(start): v for k, v in expected.items() if k.startswith(start)}
    found = flat(found)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape, name
        near = 1e-5 * max(1, np.abs(value).max()) if value.dtype.kind == "f" else 0
        np.testing.assert_allclose(found[name], value, rtol=0, atol=near, err_msg=name)


def flat(outputs, prefix=""):
    """Nested dict of tensors -> {"outer/inner": array}."""
    found = {}
    for name, value in outputs.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}/")
        else:
            found[prefix + name] = keras.ops.convert_to_numpy(value)
    return found


@pytest.mark.parametrize("name", KERAS_FILES)
def test_an_old_keras_file_gives_what_it_gave(name, keras_file, expected):
    file = f"{name}.keras"
    model = keras.models.load_model(keras_file)
    check_outputs(file, model(inputs_for(file, expected), training=False), expected)


@pytest.mark.parametrize("name", KERAS_FILES)
def test_no_number_in_an_old_layer_config_is_lost(keras_file):
    # an argument under a name that nobody reads any more would fall back to its default, and not
    # every default shows in the outputs: momentum, for one
    with zipfile.ZipFile(keras_file) as stored:
        old = kdet_layers(json.loads(stored.read("config.json")))
    new = kdet_layers(json.loads(keras.models.load_model(keras_file).to_json()))
    assert old and set(old) == set(new)
    lost = {layer: numbers_in(old[layer]) - numbers_in(new[layer]) for layer in old}
    assert not {layer: values for layer, values in lost.items() if values}


def kdet_layers(config):
    """{layer name: its config} of all kdet layers, however deep, in a stored Keras config."""
    found = {}
    if isinstance(config, dict):
        if str(config.get("registered_name")).startswith("kdet>"):
            found[config["config"]["name"]] = config["config"]
        config = list(config.values())
    for part in config if isinstance(config, list) else ():
        found |= kdet_layers(part)
    return found


def numbers_in(value):
    """All numbers and flags in nested dicts and lists, with how often they occur."""
    if isinstance(value, dict):  # Keras numbers what layers share anew each time
        value = [part for name, part in value.items() if name != "shared_object_id"]
    if isinstance(value, (list, tuple)):
        return sum(map(numbers_in, value), Counter())
    if isinstance(value, (bool, int, float)):
        return Counter([(isinstance(value, bool), float(value))])
    return Counter()


def test_an_old_checkpoint_gives_what_it_gave(expected):
    detector = kdet.models.load(SAVED / "ssd.npz")
    inputs = inputs_for("ssd.npz", expected)
    inputs["image"] = (inputs["image"] - 127.5) / 64
    check_outputs("ssd.npz", detector(inputs), expected)
    assert detector.labels.names == ("cup", "fork", "knife")


def test_importing_the_models_registers_every_layer_that_old_files_name():
    # in a process of its own: here other tests may have imported a layer already
    code = (
        "import sys, kdet.models, keras\n"
        "find = keras.saving.get_registered_object\n"
        "print([name for name in sys.argv[1:] if find(name) is None])"
    )
    command = [sys.executable, "-c", code, *read_json("registered.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", RECIPES)
def test_an_old_description_of_a_recipe_is_todays_recipe(name):
    assert from_dict(read_json("rcnn_meta.json")[name]) == kdet.models.recipe(name)


@pytest.mark.parametrize("name", RECIPES)
def test_no_number_in_an_old_description_is_lost(name):
    # the same recipes with every number and flag changed: where a row says what is the default
    # anyway, nobody would notice a field that is not read any more
    stored = read_json("changed_meta.json")[name]
    lost = numbers_in(stored) - numbers_in(dataclasses.asdict(from_dict(stored)))
    assert not lost
