"""Runs a torchvision detector once for every line on standard input and prints the seconds.

`inference.py` and `training.py` start it in an environment with torch and torchvision. Its first
two output lines are the versions, and the GFLOPs of the convolutions and matrix products that
detect objects in one image.
"""

import sys
import time

import numpy as np
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode


def main(name, size, threads, batch, mode, short):
    """Builds a detector or an operation and measures its time.

    Args:
        name: a detector of torchvision, or a key of `OPERATIONS`.
        size: "HxW" of a detector's images, or the file of inputs of an operation.
        threads: number of threads.
        batch: images per call.
        mode: "detect" or "train".
        short: seconds. A shorter run is repeated (see `SHORT` in `inference.py`).
    """
    torch.set_num_threads(threads)
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}", flush=True)
    if name in OPERATIONS:
        gflops, run = 0.0, OPERATIONS[name](np.load(size))
    else:
        gflops, run = detector(name, *map(int, size.split("x")), batch, mode)
    print(gflops, flush=True)
    for _ in sys.stdin:
        for _ in range(2):
            start = time.perf_counter()
            run()
            taken = time.perf_counter() - start
            if taken > short:
                break
        print(taken, flush=True)


def detector(name, height, width, batch, mode):
    """The GFLOPs of a detector with random weights, and a function that runs it."""
    build = getattr(torchvision.models.detection, name)
    model = build(weights=None, weights_backbone=None).eval()
    if model.transform.fixed_size is None:
        low, high = sorted((height, width))
        model.transform.min_size, model.transform.max_size = (low,), high
    images = [torch.rand(3, height, width) for _ in range(batch)]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images[:1])
    run = training(model, images) if mode == "train" else detection(model, images)
    return counter.get_total_flops() / 1e9, run


def detection(model, images):
    """A function that detects objects in the images."""

    def run():
        with torch.inference_mode():
            model(images)

    return run


def training(model, images):
    """A function that makes one step of SGD with momentum on the images, with eight boxes in each.

    The norms, the stem and the first stage of a ResNet are frozen, as in kdet's rows and as in
    torchvision with a trained backbone.
    """
    model.train()
    body = getattr(model.backbone, "body", None)
    if hasattr(body, "layer1"):
        norms = [m.eval() for m in body.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for module in (body.conv1, body.layer1, *norms):
            module.requires_grad_(False)
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learning, 1e-4, 0.9, weight_decay=1e-4)
    height, width = images[0].shape[1:]
    corner = torch.arange(8) / 16
    boxes = torch.stack([corner, corner, corner + 0.3, corner + 0.4], 1)
    boxes = boxes * torch.tensor([width, height, width, height])
    masks = torch.zeros(8, height, width, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
        mask[y1:y2, x1:x2] = 1
    truth = [{"boxes": boxes, "labels": torch.arange(1, 9), "masks": masks} for _ in images]

    def run():
        optimizer.zero_grad()
        sum(model(images, truth).values()).backward()
        optimizer.step()

    return run


def roi_align(case):
    """A function that pools boxes from a pyramid, and computes gradients if the case needs them."""
    count, bins, learn = case["settings"].tolist()
    maps = {
        str(level): torch.randn(1, 256, 800 >> level, 1344 >> level, requires_grad=bool(learn))
        for level in range(2, 6)
    }
    boxes = [torch.from_numpy(case["boxes"])]
    pool = torchvision.ops.MultiScaleRoIAlign(["2", "3", "4", "5"], bins, 2)

    def run():
        with torch.set_grad_enabled(bool(learn)):
            pooled = pool(maps, boxes, [(800, 1344)])
            if learn:
                pooled.square().sum().backward()

    return run


def nms(case):
    """A function that runs NMS at IoU 0.7."""
    count, keep, groups = case["settings"].tolist()
    boxes, scores = (torch.from_numpy(case[name]) for name in ("boxes", "scores"))
    group = torch.arange(count) % groups

    def run():
        if groups > 1:
            torchvision.ops.batched_nms(boxes, scores, group, 0.7)[:keep]
        else:
            torchvision.ops.nms(boxes, scores, 0.7)[:keep]

    return run


def augment(case):
    """A function that decodes JPEG files and applies torchvision's augmentation for SSD, at 300."""
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    change = v2.Compose(
        [
            v2.RandomPhotometricDistort(p=0.5),
            v2.RandomZoomOut(fill=127),
            v2.RandomIoUCrop(),
            v2.RandomHorizontalFlip(),
            v2.Resize((300, 300), antialias=True),
            v2.SanitizeBoundingBoxes(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    ends = {name: np.cumsum(case[name])[:-1] for name in ("lengths", "counts")}
    files = [torch.from_numpy(f.copy()) for f in np.split(case["bytes"], ends["lengths"])]
    boxes = [torch.from_numpy(b.copy()) for b in np.split(case["boxes"], ends["counts"])]

    def run():
        for file, box in zip(files, boxes):
            image = torchvision.io.decode_image(file, torchvision.io.ImageReadMode.RGB)
            size = tuple(image.shape[1:])
            box = tv_tensors.BoundingBoxes(box, format="XYXY", canvas_size=size)
            labels = torch.zeros(len(box), dtype=torch.int64)
            change({"image": tv_tensors.Image(image), "boxes": box, "labels": labels})

    return run


OPERATIONS = {"roi_align": roi_align, "nms": nms, "augment": augment}

if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:5]), sys.argv[5], float(sys.argv[6]))
