"""Runs a torchvision detector once for every line on standard input and prints the seconds.

Started by `inference.py` in an environment of its own that has torch and torchvision.
"""

import sys
import time

import torch
import torchvision


def main(name, height, width, threads):
    """Builds the named detector with random weights and times it on one random image."""
    torch.set_num_threads(threads)
    build = getattr(torchvision.models.detection, name)
    model = build(weights=None, weights_backbone=None).eval()
    model.transform.min_size, model.transform.max_size = (min(height, width),), max(height, width)
    image = [torch.rand(3, height, width)]
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}", flush=True)
    with torch.inference_mode():
        for _ in sys.stdin:
            start = time.perf_counter()
            model(image)
            print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
