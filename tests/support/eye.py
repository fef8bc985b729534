"""A detector that is always right: it finds areas of one grey value."""

import numpy as np

from kdet.config import Data, LabelMap

PLAIN = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}  # pixels arrive as they are
SCALED = Data(short_side=64, long_side=64, pad_to=64, **PLAIN)


class Config:
    nms_iou = 0.5


class Eye:
    """Finds every area of one grey value, as far as a view shows it; larger areas score more."""

    data, config = SCALED, Config()
    labels = LabelMap(("ant", "bee"), (1, 2))
    masks, most = False, 60

    def __init__(self):
        self.batches = []

    def __call__(self, inputs):
        pixels = np.round(np.asarray(inputs["image"])[..., 0]).astype(int)
        self.batches.append(pixels.shape)
        out = {"boxes": (4,), "scores": (), "labels": (), "valid": (), "masks": (8, 8)}
        out = {k: np.zeros((len(pixels), self.most, *s), np.float32) for k, s in out.items()}
        for row, image in enumerate(pixels):
            for k, value in enumerate(sorted(set(image.ravel()) - {0})):
                y, x = np.nonzero(image == value)
                out["boxes"][row, k] = x.min(), y.min(), x.max() + 1, y.max() + 1
                out["scores"][row, k] = 0.5 + len(x) / 9000
                out["labels"][row, k] = value % 2
                out["valid"][row, k] = out["masks"][row, k] = 1
        out["valid"] = out["valid"] > 0
        return out if self.masks else {k: v for k, v in out.items() if k != "masks"}


def scene(size, boxes):
    image = np.zeros((*size, 3), np.uint8)
    for value, (x1, y1, x2, y2) in enumerate(boxes, 1):
        image[y1:y2, x1:x2] = value
    return image
