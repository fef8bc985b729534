"""What the converter accepts, training reads: right, repaired with a note, or listed."""

import base64
import io
import json
import struct
import zlib

import folders
import numpy as np
import pytest
from PIL import Image

from kdet.data.convert.coco import convert_coco
from kdet.data.convert.image_files import ANIMATED, COMPLETED
from kdet.data.convert.images import ENCODED_AGAIN, read_image
from kdet.data.decode import decode, decode_image
from kdet.data.records import Records

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
