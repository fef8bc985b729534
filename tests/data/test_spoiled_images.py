"""Files that were cut or changed: none passes that training cannot read."""

import io
import os
import subprocess
import sys
import zlib

import folders
import numpy as np
import pytest
from PIL import Image

from kdet.data.convert import check
from kdet.data.convert.coco import convert_coco
from kdet.data.convert.images import prepare, read_image
from kdet.data.convert.source import Item
from kdet.data.decode import decode
from kdet.errors import DataError

ROWS, COLUMNS = np.mgrid[:20, :30]
SMOOTH = np.stack([COLUMNS * 8, ROWS * 12, (ROWS + COLUMNS) * 5], -1).astype(np.uint8)
PICTURE = Image.fromarray(SMOOTH)
OTHER = Image.fromarray(255 - SMOOTH)


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(image=PICTURE, **options):
    return encoded(image, "JPEG", **{"quality": 95, **options})


def test_a_completed_jpeg_is_the_file_before_it_was_cut(tmp_path):
    for number, (whole, missing) in enumerate(
        ((jpeg(), 2), (jpeg(progressive=True), 1), (jpeg(OTHER, quality=60), 2))
    ):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(whole[:-missing])
        assert read_image(path, 20, 30)[0] == whole


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}], ids=str)
def test_no_jpeg_cut_in_the_picture_is_completed(tmp_path, options):
    """A cut file decodes in silence once it has an end marker: it must not get one.

    Progressive files are also cut between two scans, where all that is missing is sharpness.
    """
    path = tmp_path / "a.jpg"
    for image in (PICTURE, Image.fromarray(folders.pixels(20, 30))):
        whole = jpeg(image, **options)
        for missing in range(5, len(whole), 2):
            path.write_bytes(whole[:-missing])
            with pytest.raises(DataError, match="expected a JPEG|damaged image|empty file"):
                read_image(path, 20, 30)


def spoiled(data, random):
    """Bytes changed, put in, taken out or cut off; checksums of PNG chunks made right again."""
    data, place = bytearray(data), int(random.integers(len(data)))
    what = random.integers(4)
    if what == 0:
        del data[place:]
    elif what == 1:
        data[place] = random.integers(256)
    elif what == 2:
        data[place:place] = random.bytes(5)
    else:
        del data[place : place + 5]
    at = 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        checksum = zlib.crc32(data[at + 4 : at + 8 + length])
        data[at + 8 + length : at + 12 + length] = checksum.to_bytes(4, "big")
        at += 12 + length
    return bytes(data)


KINDS = {
    "jpeg": jpeg(),
    "progressive": jpeg(progressive=True),
    "cmyk": jpeg(PICTURE.convert("CMYK")),
    "png": encoded(PICTURE, "PNG"),
    "grey png": encoded(PICTURE.convert("L"), "PNG"),
    "palette": encoded(PICTURE.quantize(9), "PNG"),
    "bmp": encoded(PICTURE, "BMP"),
    "webp": encoded(PICTURE, "WEBP"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_spoiled_file_passes_that_training_cannot_read(tmp_path, kind):
    random, path = np.random.default_rng(0), tmp_path / "a"
    items = []
    for number in range(120):
        path = tmp_path / str(number)
        path.write_bytes(spoiled(KINDS[kind], random))
        items.append(Item(number, path.name, str(path), 20, 30))
    written = list(check.readable(map(prepare, items), items, 2))
    assert [made.id for made in written] == list(range(120))
    good = [made for made in written if not made.problem]
    assert good and len(good) < 120
    for made in good:
        assert decode(made.payload)["image"].shape == (20, 30, 3)


def test_a_file_that_stays_unreadable_is_listed(tmp_path, monkeypatch):
    data = folders.coco_data()
    paths = folders.write_coco(tmp_path, data)
    real = check._reads
    monkeypatch.setattr(check, "_reads", lambda made: made.id != 7 and real(made))
    convert_coco(*paths, tmp_path / "out", workers=1)
    (line,) = folders.report(tmp_path / "out")
    assert line.startswith("7.png: image 7: damaged image: TensorFlow cannot decode it")
    assert [r["image/id"] for r in folders.features(tmp_path / "out")] == [[3], [12]]


def test_threads_keep_the_order_and_the_bytes(tmp_path):
    data = folders.coco_data()
    data["images"] = [{**data["images"][0], "id": i} for i in range(70)]
    data["annotations"] = [folders.annotation(i, i) for i in range(70)]
    paths = folders.write_coco(tmp_path, data)
    shards = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        convert_coco(*paths, out, workers=workers)
        shards.append((out / "shard-00000-of-00001.tfrecord").read_bytes())
    assert shards[0] == shards[1]


def test_workers_start_without_tensorflow():
    """They unpickle these modules; the check runs in the process that writes."""
    modules = "kdet.data.convert.shards, kdet.data.convert.coco, kdet.data.convert.voc"
    code = f"import sys, {modules}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ)).returncode == 0


def test_damaged_exif_is_noted_and_printed_nowhere(tmp_path, recwarn):
    whole = jpeg(exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01")
    path = tmp_path / "a.jpg"
    path.write_bytes(whole)
    encoded_, size, turn, notes = read_image(path, 20, 30)
    assert encoded_ == whole and notes == ("images with a damaged EXIF block",)
    assert not recwarn.list
