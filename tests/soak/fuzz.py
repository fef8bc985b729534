"""Tests damaged annotation files, images, shards and checkpoints for `soak.py`.

A damaged file must give a one-line KdetError, a listed problem, or a result that can be read. It
must never give another exception, incomplete output or unlimited memory.
"""

from __future__ import annotations

import resource
import shutil

import numpy as np

WORDS = [
    b"null",
    b"-1",
    b"1e999",
    b"[]",
    b"{}",
    b'""',
    b"true",
    b"NaN",
    b"\xff\xfe",
    b"0",
    b"9" * 40,
]


def damaged(data: bytes, rng) -> bytes:
    """A copy with one to eight random changes: replaced, removed, repeated or added bytes."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        at, kind = rng.randrange(max(len(data), 1)), rng.randrange(6)
        if kind == 0 and data:
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at : at + rng.choice((1, 2, 16, 200))]
        elif kind == 2:
            data[at:at] = data[at : at + rng.choice((1, 16, 200))]
        elif kind == 3:
            data[at:at] = rng.choice(WORDS)
        elif kind == 4:
            data = data[:at] if rng.random() < 0.3 else data
        elif data:
            end = min(len(data), at + 4)
            data[at:end] = bytes(rng.randrange(256) for _ in range(end - at))
    return bytes(data)


def fuzz(flags, folder, rng):
    """Tests all kinds of files. Prints how many were refused and how many could be read."""
    import soak

    annotations, photos = soak.make_photos(folder, 6)
    few = max(flags.files // 4, 1)
    counts = {
        "COCO files": annotation_files(folder, annotations.read_bytes(), photos, flags.files // 2,
                                       rng, "coco"),
        "VOC files": annotation_files(folder, VOC, photos, flags.files // 2, rng, "voc"),
        "images": images(folder, flags.files, rng),
        "shards": shards(folder, annotations, photos, few, rng),
        "checkpoints": checkpoints(folder, few, rng),
    }  # fmt: skip
    for kind, (refused, read) in counts.items():
        print(f"{kind}: {refused + read} damaged, {refused} refused in one line, {read} read")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"largest resident memory {peak:.2f} GB")
    assert peak < 3, "memory is not bounded"


def outcome(function):
    """False for a one-line KdetError, True for a result. Any other exception is an error."""
    from kdet.errors import KdetError

    try:
        function()
    except KdetError as error:
        text = str(error)
        assert "\n" not in text and len(text) < 2000, text
        return False
    return True


VOC = b"""<annotation><filename>0001.jpg</filename><size><width>64</width><height>64</height>
<depth>3</depth></size><object><name>cat</name><difficult>0</difficult><bndbox><xmin>3</xmin>
<ymin>4</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"""


def annotation_files(folder, data, photos, count, rng, kind):
    """Converts damaged annotations. A data set that is written must be complete."""
    from kdet.data import Records, convert_coco, convert_voc

    out, tally = folder / "out", [0, 0]
    devkit = folder / "devkit"
    if kind == "voc":
        (devkit / "Annotations").mkdir(parents=True)
        shutil.copytree(photos, devkit / "JPEGImages")
        (devkit / "list.txt").write_text("0001\n")
    for _ in range(count):
        text = damaged(data, rng)

        def convert(text=text):
            if kind == "coco":
                (folder / "a.json").write_bytes(text)
                convert_coco(folder / "a.json", photos, out, workers=1)
            else:
                (devkit / "Annotations" / "0001.xml").write_bytes(text)
                convert_voc(devkit, devkit / "list.txt", out, workers=1)

        written = outcome(convert)
        tally[written] += 1
        if written:
            Records.open(out).verify()
            shutil.rmtree(out)
        else:
            assert not out.exists() or not (out / "dataset.json").exists()
            shutil.rmtree(out, ignore_errors=True)
    return tally


def images(folder, count, rng):
    """Prepares damaged images. Training must decode the images that the converter accepts."""
    import io

    from PIL import Image

    from kdet.data.convert.check import readable
    from kdet.data.convert.images import prepare
    from kdet.data.convert.source import Item
    from kdet.data.decode import decode

    pixels = np.random.default_rng(0).integers(0, 255, (40, 56, 3), "uint8")
    files = []
    for form, options in (
        ("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {}), ("WEBP", {}),
    ):  # fmt: skip
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, form, **options)
        files.append((out.getvalue(), form.lower()))
    tally = [0, 0]
    for number in range(count):
        data, suffix = files[number % len(files)]
        path = folder / f"damaged.{suffix}"
        path.write_bytes(damaged(data, rng))
        item = Item(1, path.name, str(path), 40, 56)
        made = next(readable([prepare(item)], [item], 1))
        tally[made.problem is None] += 1
        if made.problem is None:
            decode(made.payload)
    return tally


def shards(folder, annotations, photos, count, rng):
    """Reads data sets with one damaged file."""
    import tensorflow as tf

    from kdet.data import Records, convert_coco
    from kdet.data.decode import decode

    whole, tally = folder / "whole", [0, 0]
    convert_coco(annotations, photos, whole, workers=1)
    names = ["dataset.json", "index.npz", *(p.name for p in whole.glob("*.tfrecord"))]
    for number in range(count):
        copy = folder / "copy"
        shutil.copytree(whole, copy)
        path = copy / names[number % len(names)]
        path.write_bytes(damaged(path.read_bytes(), rng))

        def read(copy=copy):
            records = Records.open(copy)
            numbers = tf.data.Dataset.range(len(records))
            list(records.iterate(numbers.map(lambda n: decode(records.read(n)))))

        tally[outcome(read)] += 1
        shutil.rmtree(copy)
    return tally


def checkpoints(folder, count, rng):
    """Loads damaged checkpoints of kdet and damaged archives of Paddle."""
    from dataclasses import replace

    import kdet
    from kdet.config import MobileNet
    from kdet.models import recipe, save_paddle

    row = recipe("ssd_mobilenet_v1_voc")
    small = replace(row.model, backbone=MobileNet(0.03125), num_classes=2)
    detector = kdet.build(small, row.data)
    detector.recipe = replace(row, model=small)
    detector.save(folder / "whole.npz")
    save_paddle(detector, folder / "paddle")
    archive = shutil.make_archive(str(folder / "paddle"), "tar", folder, "paddle")
    names = {"npz": (folder / "whole.npz").read_bytes(), "tar": open(archive, "rb").read()}
    settings = ["model.backbone.width=0.03125", "model.num_classes=2"]
    tally = [0, 0]
    for number in range(count):
        kind = ("npz", "tar")[number % 2]
        path = folder / f"damaged.{kind}"
        path.write_bytes(damaged(names[kind], rng))

        def load(path=path, kind=kind):
            if kind == "npz":
                kdet.load(path)
            else:
                kdet.load(row.name, path, overrides=settings)

        tally[outcome(load)] += 1
    return tally
