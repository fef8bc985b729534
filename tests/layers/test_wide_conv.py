"""A convolution in groups of filters or by Eigen has the result of a usual one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdet.layers import FPN, BatchNorm, Conv2D, FrozenNormConv2D
from kdet.ops import graphs, tf_layers

CHANNELS, FILTERS = 256, 512


@pytest.fixture
def splits(monkeypatch):
    """Makes convolutions split, or not, whatever the processor."""

    def choose(yes):
        monkeypatch.setattr(tf_layers, "onednn", lambda: "avx512" if yes else "")

    return choose


def operations(layer, x, **options):
    """The operations in the graph of a call, and the call."""
    call = tf.function(lambda x: layer(x, **options)).get_concrete_function(x)
    return [node.type for node in call.graph.get_operations()], call


def convolutions(layer, x, **options):
    """The number of convolutions in the graph of a call, and its result."""
    names, call = operations(layer, x, **options)
    return names.count("Conv2D"), call(x).numpy()


LAYERS = {
    "bias": lambda: Conv2D(FILTERS, 3, padding="same", activation="relu"),
    "plain": lambda: Conv2D(FILTERS, 3, strides=2, use_bias=False),
    "dilated": lambda: Conv2D(FILTERS, 3, dilation_rate=2),
    "frozen": lambda: FrozenNormConv2D(FILTERS, 3, initial_scale=0.5),
    "frozen, strided": lambda: FrozenNormConv2D(FILTERS, 3, strides=2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_parts_have_the_result_of_the_whole(name, splits):
    x = tf.random.stateless_normal((2, 9, 7, CHANNELS), (0, 1))
    layer = LAYERS[name]()
    layer.build(x.shape)
    for weight in layer.weights:
        if weight.path.endswith(("bias", "offset")):
            weight.assign(np.linspace(-1, 1, FILTERS))
    splits(False)
    count, whole = convolutions(layer, x)
    assert count == 1
    splits(True)
    count, parts = convolutions(layer, x)
    assert count == 8
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)
    assert convolutions(layer, x, training=True)[0] == 1


def test_only_wide_kernels_of_size_3_are_split(splits):
    splits(True)
    wide = {(3, 3, 256, 720): 9, (3, 3, 512, 1024): 16, (3, 3, 256, 256): 4}
    assert {shape: tf_layers.conv_parts(shape) for shape in wide} == wide
    for shape in ((3, 3, 128, 256), (3, 3, 256, 36), (1, 1, 2048, 512)):
        assert tf_layers.conv_parts(shape) == 1
    with graphs.without_xla():  # an export, which runs on other machines
        assert tf_layers.conv_parts((3, 3, 256, 720)) == 1


def test_every_part_has_its_relu(splits):
    """So oneDNN computes the convolution, the bias and the ReLU in one operation."""
    splits(True)
    x = tf.ones((1, 9, 7, CHANNELS))
    assert operations(LAYERS["bias"](), x)[0].count("Relu") == 8
    assert convolutions(Conv2D(FILTERS, 3, activation="softmax"), x)[0] == 1


def test_the_wide_convolutions_of_an_fpn_are_split(splits):
    splits(True)
    maps = {f"C{level}": tf.ones((1, 32 >> level, 32 >> level, 256)) for level in (3, 4, 5)}
    inputs = {name: keras.Input(value.shape[1:]) for name, value in maps.items()}
    # Keras 3.8 tells only models, and not single layers, whether they are trained
    model = keras.Model(inputs, FPN()(inputs))
    # three lateral convolutions, and four parts of P3 to P7 each
    assert operations(model, maps, training=False)[0].count("Conv2D") == 3 + 5 * 4
    assert operations(model, maps, training=True)[0].count("Conv2D") == 3 + 5


@pytest.mark.parametrize("layer", [
    Conv2D(FILTERS, 3, groups=2), FrozenNormConv2D(FILTERS, 3, groups=2),
])  # fmt: skip
def test_grouped_convolutions_stay_whole(layer, splits):
    splits(True)
    # on CPUs, Keras hides a grouped convolution in a function of its own
    assert convolutions(layer, tf.ones((1, 8, 8, 2 * CHANNELS)))[0] <= 1


def test_xla_and_other_processors_get_the_whole(splits):
    x = tf.random.stateless_normal((1, 8, 8, CHANNELS), (0, 1))
    layer = LAYERS["bias"]()
    layer.build(x.shape)
    splits(True)
    compiled = tf.function(layer, jit_compile=True)
    names = [node.type for node in compiled.get_concrete_function(x).graph.get_operations()]
    assert names.count("Conv2D") == 1


@pytest.fixture
def eigen(monkeypatch):
    """The way of processors with AVX2 and oneDNN, but without AVX-512."""
    monkeypatch.setattr(tf_layers, "onednn", lambda: "avx2")


@pytest.mark.parametrize("name", LAYERS)
def test_eigen_has_the_result_of_the_usual_way(name, splits, eigen):
    x = tf.random.stateless_normal((2, 9, 7, CHANNELS), (0, 1))
    layer = LAYERS[name]()
    layer.build(x.shape)

    def result(used, other):
        """The outputs, and the gradients of the maps and of the kernel."""
        names, call = operations(layer, x)
        assert names.count(used) == 1 and other not in names
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = call(x)
            loss = tf.reduce_sum(outputs**2)
        return [outputs, *tape.gradient(loss, [x, layer.kernel.value])]

    found = result("Conv", "Conv2D")
    splits(False)
    for one, other in zip(found, result("Conv2D", "Conv")):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one / scale, other / scale, atol=1e-5)


def test_training_and_exports_never_use_eigen(eigen):
    x = tf.ones((1, 9, 7, CHANNELS))
    assert "Conv" not in operations(LAYERS["bias"](), x, training=True)[0]
    with graphs.without_xla():
        assert "Conv" not in operations(LAYERS["bias"](), x)[0]


@pytest.mark.parametrize("training", [False, True])
def test_a_norm_beside_eigen_has_the_result_of_the_kernel(training, splits, eigen):
    x = tf.random.stateless_normal((2, 9, 7, 16), (0, 1)) * 3 + 1
    layer = BatchNorm()
    layer.build(x.shape)
    layer.gamma.assign(np.linspace(0.5, 2, 16))
    layer.beta.assign(np.linspace(-1, 1, 16))
    layer.moving_mean.assign(np.linspace(-2, 2, 16))
    names, call = operations(layer, x, training=training)
    assert "FusedBatchNormV3" not in names
    found = call(x).numpy()
    splits(False)
    names, call = operations(layer, x, training=training)
    assert "FusedBatchNormV3" in names
    np.testing.assert_allclose(found, call(x), atol=2e-6)


AVX2, VNNI, AVX512 = "avx avx2", "avx avx2 avx_vnni", "avx avx2 avx512f avx512_vnni"
AMX = f"{AVX512} avx512_bf16 amx_tile amx_bf16"


@pytest.mark.parametrize(("flags", "settings", "wanted"), [
    (AVX512, {}, "avx512"),
    (AMX, {}, "avx512"),
    (AMX, {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, "amx"),
    (AMX, {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "avx512"),
    (AVX512, {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, "avx512"),
    (AVX512, {"ONEDNN_MAX_CPU_ISA": "DEFAULT"}, "avx512"),
    (AVX512, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "avx2"),
    (AVX512, {"TF_ENABLE_ONEDNN_OPTS": "0"}, ""),
    (VNNI, {}, "avx2"),  # Intel's laptops since 2022
    (AVX2, {}, ""),  # TensorFlow does not use oneDNN there
    (AVX2, {"TF_ENABLE_ONEDNN_OPTS": "1"}, "avx2"),
    ("avx avx2 avx512f", {}, ""),
    ("fp asimd", {"TF_ENABLE_ONEDNN_OPTS": "1"}, ""),  # not an x86 processor
    (None, {}, ""),
])  # fmt: skip
def test_processor_and_settings_choose_the_way(flags, settings, wanted, monkeypatch, tmp_path):
    path = tmp_path / "cpuinfo"
    if flags is not None:
        path.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} sse\n")
    for name in ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tf_layers, "Path", lambda _: path)
    assert tf_layers.onednn.__wrapped__() == wanted


def test_a_saved_layer_is_read_again(tmp_path):
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, LAYERS["bias"]()(image))
    model.save(tmp_path / "wide.keras")
    again = keras.models.load_model(tmp_path / "wide.keras")
    x = np.ones((1, 8, 8, 4), "float32")
    np.testing.assert_array_equal(again(x), model(x))
