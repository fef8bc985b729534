"""Small COCO, VOC and YOLO folders for the tests of writing."""

import json

import numpy as np
import tensorflow as tf
from PIL import Image

SIZES = {7: (20, 30), 3: (24, 16), 12: (10, 10)}  # image id: height, width
CATEGORIES = [{"id": 9, "name": "cat"}, {"id": 2, "name": "dog"}]


def pixels(height, width, seed=0):
    """(height, width, 3) uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def annotation(number, image=7, category=9, bbox=(1, 2, 10, 5), **more):
    """A complete COCO annotation."""
    values = {"id": number, "image_id": image, "category_id": category, "bbox": list(bbox)}
    return {**values, "area": bbox[2] * bbox[3], "iscrowd": 0, "segmentation": [], **more}


def coco_data():
    """Three images, the last one without objects."""
    images = [
        {"id": i, "file_name": f"{i}.png", "height": h, "width": w} for i, (h, w) in SIZES.items()
    ]
    full, small = annotation(2, 3, 2, (0, 0, 16, 24)), annotation(3, bbox=(3, 3, 4, 4))
    annotations = [annotation(1), full, small]
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


def write_coco(folder, data):
    """Writes the json and noise images; returns the paths of both."""
    (folder / "images").mkdir(parents=True)
    for number, (height, width) in SIZES.items():
        Image.fromarray(pixels(height, width, number)).save(folder / "images" / f"{number}.png")
    path = folder / "truth.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path, folder / "images"


VOC = """<annotation><size><width>30</width><height>20</height></size>
<object><name>cat</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>7</ymax></bndbox></object>
<object><name>ant</name>
<bndbox><xmin>3.5</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>
</annotation>"""


def write_voc(folder, xml=VOC):
    """A VOC folder of two images; the first one's annotation is `xml`. Returns folder and list."""
    for part in ("JPEGImages", "Annotations"):
        (folder / part).mkdir(parents=True)
    for name, text in (("one", xml), ("two", VOC)):
        Image.fromarray(pixels(20, 30)).save(folder / "JPEGImages" / f"{name}.jpg")
        (folder / "Annotations" / f"{name}.xml").write_text(text)
    (folder / "list.txt").write_text("one\ntwo\n")
    return folder, folder / "list.txt"


YOLO = "names: [cat, dog]\ntrain: images/train\nval: images/val\n"


def write_yolo(folder, labels, yaml=YOLO):
    """Noise images of 40 x 20 pixels (width x height) and their labels.

    Args:
        labels: {path of the image, e.g. "images/train/a.png": text of its label file or None}.
        yaml: content of data.yaml; None writes none.
    """
    for number, (name, text) in enumerate(labels.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(20, 40, number)).save(path)
        if text is not None:
            path = (folder / name.replace("images/", "labels/", 1)).with_suffix(".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if yaml is not None:
        (folder / "data.yaml").write_text(yaml)
    return folder


def features(out):
    """Every record of a data set as {feature: list of values}, in order."""
    records = []
    for shard in sorted(out.glob("*.tfrecord")):
        for payload in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator():
            stored = tf.train.Example.FromString(payload).features.feature.items()
            records.append({k: list(getattr(v, v.WhichOneof("kind")).value) for k, v in stored})
    return records


def report(out):
    """The lines of what was left out."""
    problems = json.loads((out / "report.json").read_text())["problems"]
    return [": ".join(p for p in problem.values() if p) for problem in problems]
