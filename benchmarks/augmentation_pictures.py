"""Draws the pictures of docs/augmentation.md: each change alone on one image, then all of them.

python benchmarks/augmentation_pictures.py
"""

import dataclasses
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SIZE = (200, 260)
OFF = {  # the settings that turn each change off
    "mixup": {"mixup": 0.0},
    "colours": {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
    "expand": {"expand": 0.0},
    "crop": {"crops": ()},
    "methods": {"methods": ()},
}


def main():
    """Writes docs/images/augmentation_{ssd,yolo}.jpg."""
    from PIL import Image, ImageDraw

    from kdet.config import ssd_data, yolo_data
    from kdet.data import Records, make_synthetic
    from kdet.data.decode import decode

    with tempfile.TemporaryDirectory() as folder:
        make_synthetic(pathlib.Path(folder) / "drawn", 12, 3, SIZE, masks=False)
        records = Records.open(pathlib.Path(folder) / "drawn")
        examples = [decode(records.read(k)) for k in range(len(records))]
    examples = [e for e in examples if len(e["labels"]) >= 2][:2]
    out = pathlib.Path(__file__).parents[1] / "docs" / "images"
    for family, data in (("ssd", ssd_data()), ("yolo", yolo_data())):
        rows = list(sheet(data, examples))
        wide, high = max(len(r) for _, r in rows), 176
        page = Image.new("RGB", (96 + wide * 184, len(rows) * high), "white")
        for k, (name, pictures) in enumerate(rows):
            ImageDraw.Draw(page).text((6, k * high + 76), name, fill="black", font_size=14)
            for j, picture in enumerate(pictures):
                picture.thumbnail((180, high - 4))
                page.paste(picture, (96 + j * 184, k * high + 2))
        page.save(out / f"augmentation_{family}.jpg", quality=80)


def sheet(data, examples, columns=4):
    """Yields rows of (name, pictures): before, each change alone, all changes together."""
    yield "before", [picture(e["image"], e["boxes"], e["labels"]) for e in examples]
    plain = {k: v for changes in OFF.values() for k, v in changes.items()}
    for name, changes in OFF.items():
        used = {k: getattr(data.augment, k) for k in changes}
        if used != changes:
            alone = dataclasses.replace(data.augment, **{**plain, **used})
            yield name, drawn(data, alone, 0.0, examples, columns)
    alone = dataclasses.replace(data.augment, **plain)
    yield "flip", drawn(data, alone, 1.0, examples, 1)
    yield "all", drawn(data, data.augment, data.flip, examples, columns)


def drawn(data, augment, flip, examples, columns):
    """Augmented pictures of the first example. Mixup adds the second example."""
    import tensorflow as tf

    from kdet.data.augment.color_mixup import augmented

    data = dataclasses.replace(data, augment=augment, flip=flip, short_side=300, channels="RGB")
    apply, pictures = tf.function(augmented(data, tf.constant(300)), autograph=False), []
    for seed in range(columns):
        example = {**examples[0], "seed": tf.constant([1, seed], tf.int64)}
        if augment.mixup:
            example["partner"] = examples[1]
        found = apply(example)
        pictures.append(picture(found["image"], found["boxes"], found["labels"]))
    return pictures


def picture(image, boxes, labels):
    """A PIL image with its boxes drawn."""
    import numpy as np

    from kdet.draw.boxes import draw_boxes

    return draw_boxes(np.asarray(image), np.asarray(boxes), np.asarray(labels))


if __name__ == "__main__":
    main()
