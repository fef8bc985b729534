"""What the converter accepts, training reads: right, repaired with a note, or listed."""

import base64
import io
import json
import os
import struct
import zlib

import folders
import numpy as np
import pytest
from PIL import Image

from kdet.data.convert import check
from kdet.data.convert.coco import convert_coco
from kdet.data.convert.image_files import ANIMATED, COMPLETED
from kdet.data.convert.images import ENCODED_AGAIN, prepare, read_image
from kdet.data.convert.source import Item
from kdet.data.decode import decode, decode_image
from kdet.data.records import Records
from kdet.errors import DataError

ROWS, COLUMNS = np.mgrid[:20, :30]
SMOOTH = np.stack([COLUMNS * 8, ROWS * 12, (ROWS + COLUMNS) * 5], -1).astype(np.uint8)
PICTURE = Image.fromarray(SMOOTH)
OTHER = Image.fromarray(255 - SMOOTH)
# SMOOTH, made by jpegtran -arithmetic
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsL"
    "EBYQERMUFRUVDA8XGBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU"
    "FBQUFBQUFBQUFBQUFBQUFBQUFBT/yQARCAAUAB4DASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/AOS2"
    "aScDjBxvd+zkO5mbFt901isNY76vxTaHY6A356RAhkgVEVSx6AVK9/KCpPTPh3FLsdaThUoSGSr8CpkS03Ze7Wj2Miyd"
    "l/8AkyLsKwZS9PTYw4VFnZsFboY9UGu/gyVZHHLe9cqDt8RgKGuIkBROILypry0agm7/2Q=="
)


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(image=PICTURE, **options):
    return encoded(image, "JPEG", **{"quality": 95, **options})


def png(image=PICTURE, **options):
    return encoded(image, "PNG", **options)


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def header(place, value):
    """A PNG with another byte in its header chunk and a right checksum."""
    content = bytearray(png()[16:29])
    content[place] = value
    return png()[:8] + chunk(b"IHDR", bytes(content)) + png()[33:]


def interlaced():
    """An RGB PNG in Adam7 order, which Pillow cannot write."""
    rows = b""
    for y, x, down, right in (
        *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
        *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
    ):
        rows += b"".join(b"\0" + row.tobytes() for row in SMOOTH[y::down, x::right])
    ihdr = struct.pack(">IIBBBBB", 30, 20, 8, 2, 0, 0, 1)
    parts = ((b"IHDR", ihdr), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return png()[:8] + b"".join(chunk(*part) for part in parts)


def with_alpha():
    image = PICTURE.convert("RGBA")
    image.putalpha(128)
    return image


def cut(data, left_over):
    """JPEG data without its last `left_over` bytes."""
    return data[:-left_over]


def kept(data):
    return lambda: data, "kept", ""


# name -> what makes the bytes, what becomes of it, and the words of the note or problem
FILES = {
    "jpeg": kept(jpeg()),
    "jpeg 4:2:0": kept(jpeg(subsampling=2)),
    "jpeg progressive": kept(jpeg(progressive=True)),
    "jpeg restarts": kept(jpeg(restart_marker_rows=1)),
    "jpeg grey": kept(jpeg(PICTURE.convert("L"))),
    "jpeg arithmetic": kept(ARITHMETIC),
    "jpeg, then something": kept(jpeg() + b"something else" * 9),
    "jpeg, then zeros": kept(jpeg() + bytes(99)),
    "jpeg, then a jpeg without end": kept(jpeg() + cut(jpeg(), 2)),
    "png": kept(png()),
    "png grey": kept(png(PICTURE.convert("L"))),
    "png interlaced": kept(interlaced()),
    "png, then something": kept(png() + b"something"),
    "jpeg without end": (lambda: cut(jpeg(), 2), "mended", COMPLETED),
    "jpeg with half an end": (lambda: cut(jpeg(), 1), "mended", COMPLETED),
    "progressive without end": (
        lambda: cut(jpeg(progressive=True), 2),
        *("mended", COMPLETED),
    ),
    "restarts without end": (
        lambda: cut(jpeg(restart_marker_rows=1), 2),
        *("mended", COMPLETED),
    ),
    "4:2:0 without end": (lambda: cut(jpeg(subsampling=2), 2), "mended", COMPLETED),
    "zeros for an end": (lambda: cut(jpeg(), 2) + bytes(64), "mended", COMPLETED),
    "cmyk": (lambda: jpeg(PICTURE.convert("CMYK")), "mended", "of mode CMYK"),
    "palette": (lambda: png(PICTURE.quantize(256)), "mended", "of mode P"),
    "palette with transparency": (
        lambda: png(PICTURE.quantize(255), transparency=3),
        *("mended", "of mode P"),
    ),
    "rgb with transparency": (
        lambda: png(transparency=tuple(map(int, SMOOTH[3, 3]))),
        *("mended", "of mode RGB"),
    ),
    "alpha": (lambda: png(with_alpha()), "mended", "of mode RGBA"),
    "grey and alpha": (lambda: png(PICTURE.convert("LA")), "mended", "of mode LA"),
    "bilevel": (lambda: png(PICTURE.convert("1", dither=0)), "mended", "of mode 1"),
    "bmp": (lambda: encoded(PICTURE, "BMP"), "mended", "BMP images of mode RGB"),
    "bmp palette": (lambda: encoded(PICTURE.quantize(99), "BMP"), "mended", "BMP images of"),
    "webp": (lambda: encoded(PICTURE, "WEBP", lossless=True), "mended", "WEBP images of"),
    "webp alpha": (
        lambda: encoded(with_alpha(), "WEBP", lossless=True),
        *("mended", "WEBP images of mode RGBA"),
    ),
    "apng": (lambda: png(save_all=True, append_images=[OTHER] * 2), "mended", ANIMATED),
    "animated webp": (
        lambda: encoded(PICTURE, "WEBP", lossless=True, save_all=True, append_images=[OTHER]),
        *("mended", ANIMATED),
    ),
    "png TensorFlow refuses": (lambda: header(10, 9), "mended", ENCODED_AGAIN),
    "nothing": (lambda: b"", "listed", "expected an image, got an empty file"),
    "half a jpeg": (lambda: jpeg()[: len(jpeg()) // 2], "listed", "damaged image: "),
    "half a progressive jpeg": (
        lambda: cut(jpeg(progressive=True), 300),
        *("listed", "damaged image: "),
    ),
    "half, then zeros": (
        lambda: jpeg()[: len(jpeg()) * 2 // 3] + bytes(600),
        *("listed", "damaged image: "),
    ),
    "a few bytes less": (lambda: cut(jpeg(), 9), "listed", "ends in the middle of the picture"),
    "header only": (lambda: jpeg()[:100], "listed", "damaged image: "),
    "two bytes": (lambda: b"\xff\xd8", "listed", "WebP image, got b'\\xff\\xd8"),
    "half a png": (lambda: png()[: len(png()) // 2], "listed", "damaged image: wrong checksum"),
    "png without end": (lambda: png()[:-12], "listed", "PNG without an end"),
    "half a webp": (lambda: encoded(OTHER, "WEBP")[:60], "listed", ""),
    "half a bmp": (lambda: encoded(PICTURE, "BMP")[:800], "listed", "damaged image: "),
    "gif": (lambda: encoded(PICTURE.quantize(9), "GIF"), "listed", "WebP image, got a GIF image"),
    "tiff": (lambda: encoded(PICTURE, "TIFF"), "listed", "got a TIFF image"),
    "web page": (lambda: b"<html>404</html>", "listed", "got XML or a web page"),
    "text": (lambda: b"version https://git-lfs", "listed", "got b'version '..."),
    "avif": (lambda: b"\0\0\0\x1cftypavif" + bytes(40), "listed", "got b'"),
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """All files, called .jpg whatever they are, as one data set: folder and {file: problem}."""
    place = tmp_path_factory.mktemp("all")
    (place / "images").mkdir()
    for number, (make, *_) in enumerate(FILES.values()):
        (place / f"images/{number}.jpg").write_bytes(make())
    images = [
        {"id": k, "file_name": f"{k}.jpg", "height": 20, "width": 30} for k in range(len(FILES))
    ]
    data = {"images": images, "categories": folders.CATEGORIES}
    data["annotations"] = [folders.annotation(k + 1, k) for k in range(len(FILES))]
    (place / "truth.json").write_text(json.dumps(data))
    convert_coco(place / "truth.json", place / "images", place / "out", workers=1)
    problems = json.loads((place / "out/report.json").read_text())["problems"]
    return place, {p["file"]: p["message"] for p in problems}


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_kept_mended_or_listed(converted, name):
    place, problems = converted
    make, becomes, words = FILES[name]
    number = list(FILES).index(name)
    if becomes == "listed":
        assert words in problems[f"{number}.jpg"] and "\n" not in problems[f"{number}.jpg"]
        return
    assert f"{number}.jpg" not in problems
    records = Records.open(place / "out")
    payload = records.read(records.image_ids.tolist().index(number))
    assert decode(payload)["image"].shape == (20, 30, 3)
    encode = words == ENCODED_AGAIN
    stored, _, _, notes = read_image(place / f"images/{number}.jpg", 20, 30, encode)
    assert stored in payload.numpy()
    assert (
        (stored == make() and notes == ()) if becomes == "kept" else any(words in n for n in notes)
    )
    grey = any(word in name for word in ("grey", "bilevel"))
    expected = np.asarray(PICTURE.convert("L").convert("RGB")) if grey else SMOOTH
    error = np.abs(decode_image(stored).numpy().astype(int) - expected).mean()
    assert error < (127 if name == "bilevel" else 12 if "palette" in name else 8)


def test_the_report_counts_what_was_repaired(converted):
    notes = json.loads((converted[0] / "out/report.json").read_text())["notes"]
    wanted = {COMPLETED: 6, ANIMATED: 2, ENCODED_AGAIN: 1}
    assert {name: notes[name] for name in wanted} == wanted


def test_pillow_and_tensorflow_see_the_same_picture(converted):
    """Of all that is stored, to the rounding of two builds of one JPEG decoder."""
    for make, becomes, _ in FILES.values():
        if becomes == "kept":
            pillow = np.asarray(Image.open(io.BytesIO(make())).convert("RGB")).astype(int)
            assert np.abs(decode_image(make()).numpy() - pillow).max() <= 3


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
    "png": png(),
    "grey png": png(PICTURE.convert("L")),
    "palette": png(PICTURE.quantize(9)),
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
    import subprocess
    import sys

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
