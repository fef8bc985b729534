"""Names and shapes of the original's checkpoints, from its documented rules alone."""

import zlib

import numpy as np

from kdet.weights import paddle

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
NORM = ("scale", "offset", "mean", "variance")


def tensors(row):
    """Name -> shape (kernels out, in, h, w) of the row's checkpoint, norms folded for R-CNNs."""
    if row.startswith("ssd"):
        return _mobilenet(extras=True) | _ssd_head()
    if row.startswith("yolov3"):
        kind = row.removeprefix("yolov3_")
        made = {"darknet": _darknet, "mobilenet_v1": _mobilenet, "r34": _resnet34}[kind]()
        return made | _yolo_head((512, 256, 128) if kind == "r34" else (1024, 512, 256))
    return _two_stage(row)


def values(name, shape):
    """Small, the same each time, different for each name; norms keep features in bounds."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    base = 1.0 if name.endswith(("scale", "variance", ".var")) else 0.0
    return np.resize((base + 0.01 * rng.standard_normal(997)).astype("float32"), shape)


def write(folder, row, more=(), **changed):
    """Writes the row's checkpoint, with `more` names and shapes, and `changed` names and arrays."""
    shapes = {**tensors(row), **dict(more)}
    arrays = {name: values(name, shape) for name, shape in shapes.items()}
    paddle.write(folder, {**arrays, **changed}.items())
    return folder


def _conv_norm(conv, norm, shape, kinds=NORM):
    return {conv: shape} | {f"{norm}{kind}": (shape[0],) for kind in kinds}


def _mobilenet(extras=False):
    def layer(name, *shape):
        return _conv_norm(f"{name}_weights", f"{name}_bn_", shape)

    found, width = layer("conv1", 32, 3, 3, 3), 32
    sides = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    stages = [f"{s}_{i}" for s, n in ((2, 2), (3, 2), (4, 2), (5, 6)) for i in range(1, n + 1)]
    for stage, after in zip([*stages, "6"], sides):
        found |= layer(f"conv{stage}_dw", width, 1, 3, 3)
        found |= layer(f"conv{stage}_sep", after, width, 1, 1)
        width = after
    for number, (narrow, wide) in enumerate(
        ((256, 512), (128, 256), (128, 256), (64, 128)) if extras else (), 1
    ):
        found |= layer(f"conv7_{number}_extra1", narrow, width, 1, 1)
        found |= layer(f"conv7_{number}_extra2", wide, narrow, 3, 3)
        width = wide
    return found


def _ssd_head():
    found, maps = {}, zip((3, 6, 6, 6, 6, 6), (512, 1024, 512, 256, 256, 128))
    for number, (priors, width) in enumerate(maps):
        for second, sides in enumerate((4, 21)):
            name = f"conv2d_{22 + 2 * number + second}"
            found[f"{name}.w_0"] = (sides * priors, width, 1, 1)
            found[f"{name}.b_0"] = (sides * priors,)
    return found


def _dotted(name, *shape):
    kinds = ("scale", "offset", "mean", "var")
    return _conv_norm(f"{name}.conv.weights", f"{name}.bn.", shape, kinds)


def _darknet():
    found = _dotted("yolo_input", 32, 3, 3, 3) | _dotted("yolo_input.downsample", 64, 32, 3, 3)
    for i, count in enumerate((1, 2, 8, 8, 4)):
        width = 32 * 2**i
        if i:
            found |= _dotted(f"stage.{i - 1}.downsample", 2 * width, width, 3, 3)
        for j in range(count):
            found |= _dotted(f"stage.{i}.{j}.0", width, 2 * width, 1, 1)
            found |= _dotted(f"stage.{i}.{j}.1", 2 * width, width, 3, 3)
    return found


def _yolo_head(maps):
    found = {}
    for i, width in enumerate((512, 256, 128)):
        before = maps[i] + (width if i else 0)
        for j in range(2):
            found |= _dotted(f"yolo_block.{i}.{j}.0", width, 2 * width if j else before, 1, 1)
            found |= _dotted(f"yolo_block.{i}.{j}.1", 2 * width, width, 3, 3)
        found |= _dotted(f"yolo_block.{i}.2", width, 2 * width, 1, 1)
        found |= _dotted(f"yolo_block.{i}.tip", 2 * width, width, 3, 3)
        if i < 2:
            found |= _dotted(f"yolo_transition.{i}", width // 2, width, 1, 1)
        found[f"yolo_output.{i}.conv.weights"] = (255, 2 * width, 1, 1)
        found[f"yolo_output.{i}.conv.bias"] = (255,)
    return found


def _resnet34():
    def layer(name, norm, *shape):
        return _conv_norm(f"{name}_weights", f"{norm}_", shape)

    found, before = layer("conv1", "bn_conv1", 64, 3, 7, 7), 64
    for stage, count in zip((2, 3, 4, 5), (3, 4, 6, 3)):
        width = 64 * 2 ** (stage - 2)
        for block in "abcdef"[:count]:
            name = f"{stage}{block}_branch"
            first = before if block == "a" else width
            found |= layer(f"res{name}2a", f"bn{name}2a", width, first, 3, 3)
            found |= layer(f"res{name}2b", f"bn{name}2b", width, width, 3, 3)
            if block == "a":
                found |= layer(f"res{name}1", f"bn{name}1", width, first, 1, 1)
        before = width
    return found


def _backbone(depth, d, groups):
    senet = depth == 152

    def layer(name, norm, *shape):
        return _conv_norm(f"{name}_weights", f"{norm}_", shape, NORM[:2])

    if senet:
        stem = [(f"conv1_{i}", f"conv1_{i}_bn") for i in (1, 2, 3)]
    else:
        stem = [(f"conv1_{i}", f"bnv1_{i}") for i in (1, 2, 3)]
    widths = (3, 64, 64, 128) if senet else (3, 32, 32, 64)
    found, before = {}, 128 if senet else 64
    if d:
        for number, names in enumerate(stem):
            found |= layer(*names, widths[number + 1], widths[number], 3, 3)
    else:
        found |= layer("conv1", "bn_conv1", 64, 3, 7, 7)
    for stage, count in zip((2, 3, 4, 5), BLOCKS[depth]):
        out = 256 * 2 ** (stage - 2)
        width = out if groups > 1 else out // 4
        for block in range(count):
            letter = f"b{block}" if count > 10 and block else "abcdefgh"[min(block, 7)]
            names = [
                (f"res{stage}{letter}_branch{k}", f"bn{stage}{letter}_branch{k}")
                for k in ("2a", "2b", "2c", "1")
            ]
            if senet:
                name = f"conv{stage + 2}_{block + 1}"
                names = [(f"{name}_{k}", f"{name}_{k}_bn") for k in ("x1", "x2", "x3", "prj")]
                fc = f"fc{stage + 2}_{block + 1}"
                found |= {f"{fc}_sqz_weights": (out, out // 16), f"{fc}_sqz_offset": (out // 16,)}
                found |= {f"{fc}_exc_weights": (out // 16, out), f"{fc}_exc_offset": (out,)}
            found |= layer(*names[0], width, before, 1, 1)
            found |= layer(*names[1], width, width // groups, 3, 3)
            found |= layer(*names[2], out, width, 1, 1)
            if not block:
                found |= layer(*names[3], out, before, 1, 1)
            before = out
    return found


def _two_stage(row):
    depth = next(d for key, d in (("r50", 50), ("101", 101), ("se154", 152)) if key in row)
    groups = 64 if "x101" in row or "se154" in row else 1
    found, heads = _backbone(depth, "_vd" in row, groups), {}

    def both(name, *shape):
        bias = shape[1] if len(shape) == 2 or name == "conv5_mask" else shape[0]
        heads.update({f"{name}_w": shape, f"{name}_b": (bias,)})

    fpn, retina = "fpn" in row, "retinanet" in row
    for level in (5, 4, 3) if retina else (5, 4, 3, 2) if fpn else ():
        lateral = f"fpn_inner_res{level}_sum" + ("" if level == 5 else "_lateral")
        both(lateral, 256, 2 ** (level + 6), 1, 1)
        both(f"fpn_res{level}_sum", 256, 256, 3, 3)
    if retina:
        both("fpn_6", 256, 2048, 3, 3)
        both("fpn_7", 256, 256, 3, 3)
        for kind, out in (("cls", 720), ("bbox", 36)):
            for number in range(4):
                both(f"retnet_{kind}_conv_n{number}_fpn3", 256, 256, 3, 3)
            both(f"retnet_{kind}_pred_fpn3", out, 256, 3, 3)
        return found | heads
    width, anchors, end = (256, 3, "_fpn2") if fpn else (1024, 15, "")
    both(f"conv_rpn{end}", width, width, 3, 3)
    both(f"rpn_cls_logits{end}", anchors, width, 1, 1)
    both(f"rpn_bbox_pred{end}", 4 * anchors, width, 1, 1)
    for end in ("", "_2", "_3") if "cascade" in row else ("",):
        if fpn:
            both(f"fc6{end}", 12544, 1024)
            both(f"fc7{end}", 1024, 1024)
        both(f"cls_score{end}", 1024 if fpn else 2048, 81)
        both(f"bbox_pred{end}", 1024 if fpn else 2048, 8 if "cascade" in row else 324)
    if "mask" in row:
        for number in range(1, 5) if fpn else ():
            both(f"mask_inter_feat_{number}", 256, 256, 3, 3)
        both("conv5_mask", 256 if fpn else 2048, 256, 2, 2)
        both("mask_fcn_logits", 81, 256, 1, 1)
    return found | heads
