"""Cards of the rows of the zoo, for `kdet zoo NAME` and docs/zoo.md."""

from __future__ import annotations

import json
import math
from pathlib import Path

from kdet.config import Recipe
from kdet.config import rows as zoo
from kdet.weights.addresses import LICENCE, released, start_url

# row -> (number of tensors, number of parameters, GFLOPs at `canvas`), as `measure` computes them
SIZES = json.loads(Path(__file__).with_name("sizes.json").read_text())
# mistakes and differences in the published tables
SLIPS = {
    "faster_rcnn_r101_vd_fpn_2x": "the 2019 table links the file of the row without vd by mistake; "
    "later tables link this file and give 40.8",
    **dict.fromkeys(
        ("faster_rcnn_se154_vd_fpn_s1x", "mask_rcnn_se154_vd_fpn_s1x"),
        "in early configurations the backbone's file is called SE154_vd_pretrained.tar",
    ),
}

PAGE = """# The zoo

`kdet zoo --cards` writes this page, and a test compares it with the code. The reference numbers are
the published metrics (COCO val2017 or VOC 2007 test). They were not measured with kdet. Sizes are
height x width in pixels. A folded norm has two parameters per channel, a trained norm has four.
GFLOPs are twice the number of multiplications in all convolutions and matrix products for one image
of that size, with 1000 proposals in two-stage rows and 100 masks. Resampling, norms, decoding and
NMS are not counted.

The command in the line "evaluate" downloads the published weights at its first use (`--weights`
selects other weights) and prints the metric to compare, under that name. For a row with a mask
head, and data with outlines, the command evaluates boxes and masks. The
[guide](guide.md#published-weights) explains mirrors and work without a network. The addresses are
those of the reference, and kdet's tests cannot reach them. `records` is the validation set, which
is converted once with one of these commands:

    kdet convert coco --annotations coco/annotations/instances_val2017.json \\
        --images coco/val2017 --out records/val
    kdet convert voc --devkit VOCdevkit/VOC2007 \\
        --list VOCdevkit/VOC2007/ImageSets/Main/test.txt --out records/val

"""


def page() -> str:
    """All cards as Markdown."""
    return PAGE + "\n".join(card(zoo.recipe(name)) for name in zoo.names())


def card(recipe: Recipe) -> str:
    """The card of a row as Markdown."""
    name, model = recipe.name, recipe.model
    tensors, parameters, gflops = SIZES[name]
    side = ", ".join(f"{side} x {side}" for side in sides(recipe) or [recipe.data.short_side])
    if recipe.data.resize == "scale":
        side = f"short side {recipe.data.short_side}, long side up to {recipe.data.long_side}"
    size = "x".join(map(str, canvas(recipe)))
    megabytes = f"{parameters * 4 / 1e6:.0f} MB"
    rows = {
        "reference": published(recipe),
        "input": side,
        "parameters": f"{parameters / 1e6:.2f} M in {tensors} tensors, {megabytes}",
        "GFLOPs": f"{gflops:.1f} at {size}",
        "weights": f"{released(name)}, published with {LICENCE}",
        "starts from": start_url(model),
        "evaluate": f"`{command(recipe)}`: {', '.join(printed(recipe))}",
        "detect": f"`kdet detect {name} image.jpg`",
        "train": f"`kdet train {name} --data records`, with `records/train` converted likewise",
    }
    if name in SLIPS:
        rows["note"] = SLIPS[name]
    lines = "".join(f"| {key} | {value} |\n" for key, value in rows.items())
    return f"## {name}\n\n| | |\n|---|---|\n{lines}"


def published(recipe: Recipe) -> str:
    """The published metrics of a row, e.g. "box ap 37.9, mask ap 34.2"."""
    return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in recipe.reference.items())


def table() -> str:
    """A Markdown table with the published metrics of all rows."""
    lines = ["| recipe | reference |", "|---|---|"]
    lines += [
        f"| [`{name}`](recipes/{name}.py) | {published(zoo.recipe(name))} |" for name in zoo.names()
    ]
    return "\n".join(lines)


def sides(recipe: Recipe) -> list[int]:
    """The image sides with published metrics for the same weights, largest first.

    The list is empty if there is only one side.
    """
    more = [int(key.rpartition("_")[2]) for key in recipe.reference if key[-1].isdigit()]
    return [recipe.data.short_side, *more] if more else []


def command(recipe: Recipe) -> str:
    """The command that evaluates a row on the converted validation set."""
    more = f" --sides {','.join(map(str, sides(recipe)))}" if sides(recipe) else ""
    return f"kdet evaluate {recipe.name} --data records{more}"


def printed(recipe: Recipe) -> list[str]:
    """The names under which `command` prints the metrics that were published."""
    if recipe.data.metric == "voc":
        return ["mAP"]
    return ["AP", "mask AP"] if "mask_ap" in recipe.reference else ["AP"]


def text(recipe: Recipe) -> str:
    """The card of a row as text for a terminal."""
    lines = card(recipe).splitlines()[4:]
    cells = [line.strip("| ").replace("`", "").partition(" | ") for line in lines]
    return "\n".join([recipe.name, *(f"  {key:<12} {value}" for key, _, value in cells)])


def canvas(recipe: Recipe) -> tuple[int, int]:
    """(height, width) for the GFLOPs of a card: the largest canvas, in landscape format."""
    height, width = max(recipe.data.canvas_sizes(), key=lambda c: (c[0] * c[1], c[1]))
    return min(height, width), max(height, width)


def measure(detector, size) -> tuple[int, int, float]:
    """Computes the sizes on a card from the graph of a network. The network is not run.

    Args:
        detector: `kdet.Detector`.
        size: (height, width) of the canvas.
    Returns:
        (number of tensors, number of parameters, GFLOPs of the network for one image).
    """
    import tensorflow as tf

    from kdet.models.family import network_inputs

    network = detector.network
    shapes = {"image": (1, *size, 3), "resized_size": (1, 2), "original_size": (1, 2)}
    inputs = {name: tf.TensorSpec(shape, tf.float32) for name, shape in shapes.items()}
    function = tf.function(lambda batch: network(network_inputs(network, batch), training=False))
    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # the graph then has the operations of inner functions
    try:
        operations = function.get_concrete_function(inputs).graph.get_operations()
    finally:
        tf.config.run_functions_eagerly(eagerly)
    total = sum(_products(operation) for operation in operations)
    numbers = sum(math.prod(v.shape) for v in network.variables)
    return len(network.variables), numbers, 2 * total / 1e9


def _products(operation):
    """The number of multiplications of a convolution or matrix product, 0 for other operations."""
    kind = operation.type
    if kind in ("Conv2D", "Conv", "DepthwiseConv2dNative"):
        kernel, out = operation.inputs[1].shape, operation.outputs[0].shape
        each = kernel[0] * kernel[1] * (1 if kind == "DepthwiseConv2dNative" else kernel[2])
        return each * math.prod(out)
    if kind == "Conv2DBackpropInput":  # a transposed convolution
        return (
            math.prod(operation.inputs[1].shape[:2])
            * operation.outputs[0].shape[-1]
            * math.prod(operation.inputs[2].shape)
        )
    if kind in ("MatMul", "BatchMatMulV2"):
        return math.prod(operation.outputs[0].shape) * operation.inputs[0].shape[-1]
    return 0
