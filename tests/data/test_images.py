import io

import folders
import numpy as np
import pytest
from PIL import Image, ImageOps

from kdet.data.convert.example_proto import Object
from kdet.data.convert.images import prepare, read_image, turn_object
from kdet.data.convert.source import Item
from kdet.errors import DataError
from kdet.masks.rle import mask_from_runs, runs_from_mask

RGB = folders.pixels(20, 30)


def save(path, image, **options):
    image.save(path, **options)
    return path


def decoded(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)))


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("pixels", [RGB, RGB[..., 0]], ids=["rgb", "grey"])
def test_plain_images_are_stored_byte_for_byte(tmp_path, ending, pixels):
    path = save(tmp_path / f"a.{ending}", Image.fromarray(pixels), exif=exif(1))
    encoded, size, turn, notes = read_image(path, 20, 30)
    assert encoded == path.read_bytes() and (size, turn, notes) == ((20, 30), 0, ())


def with_alpha():
    alpha = np.zeros((20, 30, 1), np.uint8)
    return Image.fromarray(np.concatenate([RGB, alpha], 2)), RGB


def palette():
    image = Image.fromarray(RGB).quantize(7)
    return image, np.asarray(image.convert("RGB"))


def bilevel():
    return Image.fromarray(RGB[..., 0] > 99), np.uint8(RGB[..., 0] > 99) * 255


def deep():
    values = (RGB[..., 0].astype(np.uint16) << 8) + RGB[..., 1]
    return Image.fromarray(values), RGB[..., 0]


def grey_with_alpha():
    return Image.fromarray(RGB[..., :2], "LA"), RGB[..., 0]


@pytest.mark.parametrize("make", [with_alpha, palette, bilevel, deep, grey_with_alpha])
def test_other_png_modes_become_rgb_or_grey(tmp_path, make):
    image, expected = make()
    encoded, size, _, notes = read_image(save(tmp_path / "a.png", image), 20, 30)
    np.testing.assert_array_equal(decoded(encoded), expected)
    assert size == (20, 30) and "8-bit" in notes[0]


def test_transparent_colour_is_dropped(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(RGB), transparency=tuple(map(int, RGB[0, 0])))
    encoded, *_ = read_image(path, 20, 30)
    image = Image.open(io.BytesIO(encoded))
    np.testing.assert_array_equal(np.asarray(image), RGB)
    assert "transparency" not in image.info


def test_cmyk_becomes_rgb(tmp_path):
    smooth = np.zeros((20, 30, 3), np.uint8) + np.uint8([200, 120, 40])
    path = save(tmp_path / "a.jpg", Image.fromarray(smooth).convert("CMYK"), quality=95)
    assert np.abs(decoded(read_image(path, 20, 30)[0]).astype(int) - smooth).max() < 8


def scene():
    """An image with a bright block at x 4..12, y 2..6 and its box, polygon and mask."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[2:6, 4:12] = 255
    polygon = (4.0, 2.0, 12.0, 2.0, 12.0, 6.0)
    runs = tuple(runs_from_mask(pixels[..., 0] > 0))
    return pixels, Object(1, 0, (4, 2, 8, 4), 32, polygons=(polygon,), runs=runs)


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_become_upright(tmp_path, orientation, ending):
    image = Image.fromarray(scene()[0])
    path = save(tmp_path / f"a.{ending}", image, exif=exif(orientation))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    encoded, size, turn, _ = read_image(path, *upright.shape[:2])
    found = Image.open(io.BytesIO(encoded))
    assert size == upright.shape[:2] and turn == 0
    assert found.getexif().get(0x0112, 1) == 1
    assert np.abs(np.asarray(found).astype(int) - upright).max() < (1 if ending == "png" else 12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_the_stored_frame_follow_the_block(tmp_path, orientation):
    pixels, thing = scene()
    path = save(tmp_path / "a.png", Image.fromarray(pixels), exif=exif(orientation))
    encoded, (height, width), turn, _ = read_image(path, 20, 30)
    assert turn == (orientation if orientation >= 5 else 0)
    if not turn:  # both frames have the annotated size: boxes are taken as upright
        return
    moved = turn_object(thing, turn, 20, 30)
    block = decoded(encoded)[..., 0] > 0
    rows, columns = np.flatnonzero(block.any(1)), np.flatnonzero(block.any(0))
    x, y, w, h = moved.bbox
    assert (x, y, x + w, y + h) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    np.testing.assert_array_equal(mask_from_runs(moved.runs, height, width), block)
    xs, ys = moved.polygons[0][::2], moved.polygons[0][1::2]
    assert (min(xs), min(ys), max(xs), max(ys)) == (x, y, x + w, y + h)
    assert prepare(Item(1, "a.png", str(path), 20, 30, (thing,))).height == 30


def test_turned_polygon_by_hand():
    _, thing = scene()  # orientation 6: a point (x, y) goes to (20 - y, x)
    moved = turn_object(thing, 6, 20, 30)
    assert moved.bbox == (14, 4, 4, 8)
    assert moved.polygons == ((18, 4, 18, 12, 14, 12),)


def test_sizes_that_fit_no_frame(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(RGB), exif=exif(6))
    with pytest.raises(DataError, match="expected the annotated size 30 x 21, got.* 20 x 30"):
        read_image(path, 21, 30)


def test_nonsense_orientation_is_ignored(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(RGB), exif=exif(11))
    assert read_image(path, 20, 30)[0] == path.read_bytes()
