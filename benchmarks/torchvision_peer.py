"""Runs a torchvision detector once for every line on standard input and prints the seconds.

`inference.py` and other scripts start it in an environment with torch and torchvision. Its first
two output lines are the versions, and the GFLOPs of the convolutions and matrix products that
detect objects in one image.
"""

import argparse
import contextlib
import sys
import time

import numpy as np
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode


def main():
    """Builds a detector or an operation and measures its time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a detector of torchvision, or a key of OPERATIONS")
    parser.add_argument("size", help="HxW of a detector's images, or the inputs of an operation")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--mode", default="detect", choices=("detect", "train"))
    parser.add_argument("--short", type=float, default=0.0, help="see SHORT in inference.py")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "tf32", "bf16"))
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}", flush=True)
    if flags.name in OPERATIONS:
        gflops, run = 0.0, OPERATIONS[flags.name](np.load(flags.size))
    else:
        gflops, run = detector(flags)
    print(gflops, flush=True)
    for _ in sys.stdin:
        for _ in range(2):
            start = time.perf_counter()
            run()
            if flags.device == "cuda":
                torch.cuda.synchronize()
            taken = time.perf_counter() - start
            if taken > flags.short:
                break
        print(taken, flush=True)


def detector(flags):
    """The GFLOPs of a detector with random weights, and a function that runs it."""
    height, width = map(int, flags.size.split("x"))
    build = getattr(torchvision.models.detection, flags.name)
    model = build(weights=None, weights_backbone=None).eval()
    # kdet returns masks over boxes, and pastes them into images only where they are used
    torchvision.models.detection.transform.paste_masks_in_image = lambda masks, *_, **__: masks
    if model.transform.fixed_size is None:
        low, high = sorted((height, width))
        model.transform.min_size, model.transform.max_size = (low,), high
    images = [torch.rand(3, height, width) for _ in range(flags.batch)]
    # on the CPU, so that a GPU is free while kdet compiles and chooses its kernels
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images[:1])
    model, images = model.to(flags.device), [image.to(flags.device) for image in images]
    # with bf16, what stays in fp32 may use TF32, as it may in kdet
    tf32 = flags.precision != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    # cuDNN chooses its kernels by time, as XLA does; the number of masks changes from call to call,
    # and each new number would be timed
    torch.backends.cudnn.benchmark = "mask" not in flags.name
    cast = contextlib.nullcontext
    if flags.precision == "bf16":

        def cast():
            return torch.autocast(flags.device, torch.bfloat16)

    make = training if flags.mode == "train" else detection
    return counter.get_total_flops() / 1e9, make(model, images, cast)


def detection(model, images, cast):
    """A function that detects objects in the images, inside the context `cast()`."""

    def run():
        with torch.inference_mode(), cast():
            model(images)

    return run


def training(model, images, cast):
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
    truth = [objects(*image.shape[1:], image.device) for image in images]

    def run():
        optimizer.zero_grad()
        with cast():
            loss = sum(model(images, truth).values())
        loss.backward()
        optimizer.step()

    return run


def objects(height, width, device):
    """The ground truth of one image, eight boxes with masks, as in `training.py`."""
    corner = torch.arange(8) / 16
    boxes = torch.stack([corner, corner, corner + 0.3, corner + 0.4], 1)
    boxes = boxes * torch.tensor([width, height, width, height])
    masks = torch.zeros(8, height, width, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
        mask[y1:y2, x1:x2] = 1
    found = {"boxes": boxes, "labels": torch.arange(1, 9), "masks": masks}
    return {name: value.to(device) for name, value in found.items()}


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


def convolution(case):
    """A function that computes one 3x3 convolution with stride 1."""
    height, width, channels, filters = case["settings"].tolist()
    image = torch.randn(1, channels, height, width)
    layer = torch.nn.Conv2d(channels, filters, 3, padding=1, bias=False)

    def run():
        with torch.inference_mode():
            layer(image)

    return run


OPERATIONS = {"roi_align": roi_align, "nms": nms, "augment": augment, "convolution": convolution}

if __name__ == "__main__":
    main()
