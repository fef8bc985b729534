"""16-bit PNG files: the highest 8 of the bits that are used stay, and the report says so."""

import json
import struct
import zlib

import folders
import numpy as np
import pytest
from PIL import Image

from kdet.data.convert.coco import convert_coco
from kdet.data.convert.eight_bits import eight_bits
from kdet.data.convert.images import pixels_of, read_image
from kdet.data.decode import decode, decode_image
from kdet.data.records import Records

KINDS = {"grey": (0, 1), "grey and alpha": (4, 2), "rgb": (2, 3), "rgb and alpha": (6, 4)}
ROWS, COLUMNS = np.mgrid[:20, :30]


def values(channels, bits, seed=0):
    """(20, 30, channels) uint16: noise that uses all of `bits` bits; alpha is full."""
    found = np.random.default_rng(seed).integers(0, 2**bits, (20, 30, channels), np.uint16)
    found[0, 0] = 2**bits - 1
    if channels in (2, 4):
        found[..., -1] = 65535
    return found


def write(path, array, colour, adam7=False, sbit=None, filters=(0,)):
    """A 16-bit PNG, as a microscope or Photoshop would write it."""
    height, width, channels = array.shape
    big, rows = array.astype(">u2"), b""
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    passes = (*starts, (1, 0, 2, 1)) if adam7 else ((0, 0, 1, 1),)
    for y, x, down, right in passes:
        before = bytes(2 * channels * len(range(x, width, right)))
        for number, row in enumerate(big[y::down, x::right]):
            line, kind = row.tobytes(), filters[number % len(filters)]
            left = bytes(2 * channels) + line
            sources = {0: bytes(len(line)), 1: left, 2: before}
            rows += bytes([kind]) + bytes((a - b) & 255 for a, b in zip(line, sources[kind]))
            before = line
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, int(adam7))
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if sbit:
        chunks.insert(1, (b"sBIT", bytes(sbit)))
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        data += struct.pack(">I", len(content)) + kind + content + crc
    path.write_bytes(data)
    return path


def stored(path):
    """The picture of a file as a record holds it, without its repetition where it is grey."""
    encoded, _, _, notes = read_image(path, 20, 30)
    return decode_image(encoded).numpy(), notes


@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12, 14, 15, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_the_highest_eight_bits_that_are_used_stay(tmp_path, kind, bits):
    colour, channels = KINDS[kind]
    array = values(channels, bits)
    found, notes = stored(write(tmp_path / "a.png", array, colour))
    colours = array[..., : 1 if channels < 3 else 3]
    np.testing.assert_array_equal(found, np.broadcast_to(colours >> (bits - 8), found.shape))
    said = f"16-bit images that use {bits} bits" if bits > 8 else "stored as 8-bit"
    assert any(said in note for note in notes)


@pytest.mark.parametrize("kind", KINDS)
def test_interlaced_and_filtered_files(tmp_path, kind):
    colour, channels = KINDS[kind]
    array = values(channels, 12, 1)
    for options in ({"adam7": True}, {"filters": (1, 2, 0)}, {"adam7": True, "filters": (2, 1)}):
        found, _ = stored(write(tmp_path / "a.png", array, colour, **options))
        colours = array[..., : 1 if channels < 3 else 3]
        np.testing.assert_array_equal(found, np.broadcast_to(colours >> 4, found.shape))


SIGNIFICANT = {
    "low values, said so": (values(1, 9), (12,), 4),
    "low values, 10 bits": (values(1, 10), (10,), 2),
    "spread to all 16 bits": (values(1, 12) << 4, (12,), 8),
    "dark, but spread": (values(1, 14), (12,), 8),
    "nonsense": (values(1, 12), (0,), 4),
}


@pytest.mark.parametrize("name", SIGNIFICANT)
def test_the_significant_bits_that_a_file_names(tmp_path, name):
    """A file may hold its values as they are, or spread to 16 bits, as the PNG standard asks."""
    array, sbit, shift = SIGNIFICANT[name]
    found, _ = stored(write(tmp_path / "a.png", array, 0, sbit=sbit))
    np.testing.assert_array_equal(found[..., :1], array >> shift)


def test_alpha_has_no_say_in_the_range(tmp_path):
    found, _ = stored(write(tmp_path / "a.png", values(4, 10), 6, sbit=(10, 10, 10, 16)))
    np.testing.assert_array_equal(found, values(4, 10)[..., :3] >> 2)


def test_a_microscope_keeps_its_grey_levels(tmp_path):
    """4096 levels in 16 bits: with the high byte alone, 16 would be left."""
    array = (np.linspace(0, 4095, 600).reshape(20, 30, 1)).astype(np.uint16)
    found, _ = stored(write(tmp_path / "a.png", array, 0))
    assert len(np.unique(found)) == 256


@pytest.mark.parametrize("kind", KINDS)
def test_detection_sees_what_training_saw(tmp_path, kind):
    colour, channels = KINDS[kind]
    path = write(tmp_path / "a.png", values(channels, 12), colour)
    with Image.open(path) as image:
        np.testing.assert_array_equal(pixels_of(image), stored(path)[0])


def test_images_without_a_file(tmp_path):
    array = values(1, 12)[..., 0]
    image, bits = eight_bits(Image.fromarray(array))
    assert bits == 12 and image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), array >> 4)
    np.testing.assert_array_equal(pixels_of(Image.fromarray(array))[..., 0], array >> 4)
    whole = Image.fromarray(array.astype(np.int32) - 9)  # Pillow's older form, mode I
    assert eight_bits(whole)[1] == 12
    assert eight_bits(Image.new("I;16", (3, 2)))[1] == 8


def test_the_report_counts_images_by_their_bits(tmp_path):
    data = folders.coco_data()
    data["images"][1:] = [{**data["images"][0], "id": 3, "file_name": "b.png"}]
    data["annotations"] = [folders.annotation(1)]
    paths = folders.write_coco(tmp_path, data)
    write(tmp_path / "images/7.png", values(1, 12), 0)
    write(tmp_path / "images/b.png", values(3, 16), 2)
    convert_coco(*paths, tmp_path / "out", workers=1)
    notes = json.loads((tmp_path / "out/report.json").read_text())["notes"]
    assert {note.partition(",")[0]: count for note, count in notes.items()} == {
        "16-bit images that use 12 bits": 1,
        "16-bit images that use 16 bits": 1,
    }
    assert decode(Records.open(tmp_path / "out").read(0))["image"].numpy().max() == 255
