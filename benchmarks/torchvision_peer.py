"""Runs a torchvision detector once for every line on standard input and prints the seconds.

Started by `inference.py` and `training.py` in an environment of its own that has torch and
torchvision. Its first two lines are the versions and the GFLOPs of the convolutions and matrix
products that find objects in one image.
"""

import sys
import time

import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode


def main(name, height, width, threads, batch, mode):
    """Builds the named detector with random weights and times it on random images."""
    torch.set_num_threads(threads)
    build = getattr(torchvision.models.detection, name)
    model = build(weights=None, weights_backbone=None).eval()
    if model.transform.fixed_size is None:
        low, high = sorted((height, width))
        model.transform.min_size, model.transform.max_size = (low,), high
    images = [torch.rand(3, height, width) for _ in range(batch)]
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}", flush=True)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images[:1])
    print(counter.get_total_flops() / 1e9, flush=True)
    run = training(model, images) if mode == "train" else detection(model, images)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


def detection(model, images):
    """A function that finds objects in the images."""

    def run():
        with torch.inference_mode():
            model(images)

    return run


def training(model, images):
    """A function that takes one step of momentum SGD on the images, eight boxes in each."""
    optimizer = torch.optim.SGD(model.train().parameters(), 1e-4, 0.9, weight_decay=1e-4)
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


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:6]), sys.argv[6])
