"""Deterministic weight rule: a pure function of (name, shape)."""

import re
import zlib

import numpy as np

# one norm of each residual branch has a reduced scale
SCALES = [
    (re.compile(r"(_branch2b|_x3_bn)_scale$"), 0.2),
    (re.compile(r"^stage\.\d+\.\d+\.1\.bn\.scale$"), 0.15),
]
# gains of weights, first match wins; every other weight has gain sqrt(2)
GAINS = [
    (re.compile(r"^cls_score(_\d)?_w$"), lambda s: 0.7 if s[0] == 2048 else 2.0),
    (re.compile(r"^bbox_pred(_\d)?_w$"), 0.25),
    (re.compile(r"^rpn_cls_logits(_fpn\d)?_w$"), 1.0),
    (re.compile(r"^rpn_bbox_pred(_fpn\d)?_w$"), lambda s: 0.05 if s[1] == 1024 else 0.15),
    (re.compile(r"^mask_fcn_logits_w$"), 0.5),
    (re.compile(r"^retnet_cls_pred_fpn\d_w$"), 1.0),
    (re.compile(r"^retnet_bbox_pred_fpn\d_w$"), 0.3),
    (re.compile(r"^yolo_output\.\d\.conv\.weights$"), 0.7),
    (re.compile(r"^conv2d_\d+\.w_0$"), 2.0),  # SSD multi_box_head
    (re.compile(r"^fpn_"), 0.5),
]


def gain(name, shape):
    for r, g in GAINS:
        if r.search(name):
            return g(shape) if callable(g) else g
    return 2.0**0.5


def weight(name, shape):
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    shape = tuple(int(s) for s in shape)
    if len(shape) == 1:
        if name.endswith("scale"):
            base = 1.0
            for r, s in SCALES:
                if r.search(name):
                    base = s
            w = base * (1 + 0.1 * rng.uniform(-1, 1, shape))
        elif name.endswith("variance") or name.endswith(".var"):
            w = 1 + 0.1 * rng.uniform(-1, 1, shape)
        else:
            w = 0.1 * rng.standard_normal(shape)
            if name.startswith("retnet_cls_pred"):
                w = w - 4.0
    else:
        fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        w = rng.standard_normal(shape) * (gain(name, shape) / np.sqrt(fan_in))
    return w.astype("float32")
