"""Drawing: where the ink goes, that colours are stable, and that everything stays inside."""

import os

import numpy as np
import pytest
from PIL import Image

from kdet.draw import font_search, text
from kdet.draw.boxes import ENLARGED, LONGEST, SMALL, draw_boxes
from kdet.draw.colours import colour
from kdet.draw.sheets import contact_sheet, side_by_side
from kdet.draw.text import Writer, clean


def grey(height=300, width=400):
    return np.full((height, width, 3), 128, np.uint8)


def ink(picture, background=128):
    """(H, W) bool, where something was drawn."""
    return np.abs(np.asarray(picture).astype(int) - background).max(axis=2) > 3


def test_frame_is_on_the_box_and_nowhere_else():
    image = grey()
    drawn = ink(draw_boxes(image, [[100, 80, 300, 220]]))
    assert (image == 128).all()
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    for found, wanted in ((rows, (80, 220)), (columns, (100, 300))):
        assert abs(found[0] - wanted[0]) <= 3 and abs(found[-1] + 1 - wanted[1]) <= 3
    assert not drawn[90:210, 110:290].any()
    assert drawn[150, 100] and drawn[150, 299] and drawn[80, 200] and drawn[219, 200]


def test_frame_has_the_colour_of_its_label():
    picture = np.asarray(draw_boxes(grey(), [[100, 80, 300, 220]], [3]))
    near = np.abs(picture[150, 98:103].astype(int) - colour(3)).max(axis=1).min()
    assert near <= 2


def test_fractional_edges_are_blended():
    """Moving a box by a quarter pixel changes the picture: edges are anti-aliased."""
    a, b = (np.asarray(draw_boxes(grey(), [[100 + d, 80, 300, 220]])) for d in (0, 0.25))
    differs = np.flatnonzero((a != b).any(axis=(0, 2)))
    assert 0 < len(differs) and abs(differs - 100).max() <= 8


def test_colours_are_distinct_and_stable():
    colours = [colour(k) for k in range(80)]
    assert len(set(colours)) == 80
    assert colours[:2] == [(86, 180, 233), (230, 159, 0)]
    few = np.array(colours[:10])
    apart = np.abs(few[:, None] - few[None]).sum(axis=-1) + 999 * np.eye(10)
    assert apart.min() > 45
    assert all(0 <= channel <= 255 for c in colours for channel in c)


@pytest.mark.parametrize("box", [[0, 0, 60, 40], [340, 260, 400, 300], [-50, -50, 900, 900]])
def test_tags_stay_inside_the_image(box):
    """The whole tag is there: as much tag ink as in the middle of the image."""
    image, names = grey(), ["a rather long name"]
    label = np.array(colour(0))

    def tag_size(where):
        picture = np.asarray(draw_boxes(image, [where], [0], [0.5], names)).astype(int)
        without = np.asarray(draw_boxes(image, [where])).astype(int)
        there = (picture != without).any(axis=2)
        assert np.abs(picture[there] - label).max(axis=1).min() < 30
        rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
        return np.ptp(rows), np.ptp(columns)

    middle, here = tag_size([150, 150, 350, 250]), tag_size(box)
    assert abs(middle[0] - here[0]) <= 3 and abs(middle[1] - here[1]) <= 3


def test_tags_avoid_each_other():
    boxes = [[100, 100, 200, 200], [102, 101, 201, 202]]
    together = ink(draw_boxes(grey(), boxes, [0, 1], [0.9, 0.8], ["first", "second"])).sum()
    one = ink(draw_boxes(grey(), boxes[:1], [0], [0.9], ["first"])).sum()
    frame = ink(draw_boxes(grey(), boxes[:1], [0])).sum()
    assert together > one + 0.6 * (one - frame)


def test_many_tags_on_small_boxes_are_left_out():
    """Forty boxes of 8 pixels: their tags would hide the picture. A single small box keeps its."""
    image = np.zeros((400, 400, 3), np.uint8)
    corner = np.stack(np.meshgrid(np.arange(8), np.arange(5)), -1).reshape(-1, 2) * 45 + 10
    boxes = np.concatenate([corner, corner + 8], 1)
    count = [
        (np.asarray(draw_boxes(image, b, [0] * len(b), names=["nucleus"])) > 0).any(-1).sum()
        for b in (boxes, boxes[:1])
    ]
    assert count[0] < 40 * 16**2 and count[1] > 16**2


def test_small_images_are_enlarged_by_a_whole_factor():
    picture = draw_boxes(grey(128, 96), [[16, 16, 64, 64]])
    assert picture.size == (5 * 96, 5 * 128) and max(picture.size) <= ENLARGED
    drawn = ink(picture)
    assert drawn[5 * 40, 5 * 16] and not drawn[5 * 40, 5 * 40]
    assert draw_boxes(grey(SMALL + 1, 300), []).size == (300, SMALL + 1)


def test_masks_are_blended_inside_only():
    masks = np.zeros((1, 300, 400), bool)
    masks[0, 100:150, 120:220] = True
    picture = np.asarray(draw_boxes(grey(), [[120, 100, 220, 150]], [1], masks=masks)).astype(int)
    wanted = 128 + 0.4 * (np.array(colour(1)) - 128)
    np.testing.assert_allclose(picture[125, 170], wanted, atol=1.5)
    assert (picture[250, 170] == 128).all()


def test_nothing_and_degenerate_boxes():
    image = grey()
    for boxes in ([], np.zeros((0, 4))):
        assert (np.asarray(draw_boxes(image, boxes, [], [], ["a"])) == 128).all()
    outside = draw_boxes(image, [[500, 1, 600, 2], [-9, -9, -1, -1]], [0, 0], [0.5, 0.5], ["a"])
    assert (np.asarray(outside) == 128).all()
    draw_boxes(image, [[5, 5, 5, 5], [9, 9, 3, 3]], [0, 0], [0.5, float("nan")])
    turned, right = (draw_boxes(image, [b]) for b in ([219, 136, 60, 280], [60, 136, 219, 280]))
    assert (np.asarray(turned) == np.asarray(right)).all()
    assert draw_boxes(image[:1, :1], [[0, 0, 1, 1]], [0]).size == (ENLARGED, ENLARGED)


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((np.zeros((9, 9), np.uint8), []), r"image must be \(H, W, 3\) uint8"),
        ((np.zeros((9, 9, 3)), []), "float64"),
        ((grey(), [[1, 2, 3]]), r"boxes must be \(n, 4\)"),
        ((grey(), [[1, 2, np.nan, 4]]), "box 0 is"),
        ((grey(), [[1, 2, 3, 4]], [0, 1]), r"labels must have one entry per box \(1\), got 2"),
        ((grey(), [[1, 2, 3, 4]], [2], None, ["a", "b"]), r"labels must be 0\.\.1, got 2\.\.2"),
        ((grey(), [[1, 2, 3, 4]], None, None, None, np.zeros((1, 9, 9))), "masks must be"),
    ],
)
def test_what_does_not_fit_is_said(arguments, said):
    with pytest.raises(ValueError, match=said):
        draw_boxes(*arguments)


def test_sheets():
    left, right = Image.new("RGB", (50, 40), "red"), grey(80, 100)
    pair = np.asarray(side_by_side(left, right))
    assert (pair == (255, 0, 0)).all(axis=2).sum() == 100 * 80  # scaled to the larger height
    assert (pair == 128).all(axis=2).sum() >= 100 * 80
    sheet = np.asarray(contact_sheet([left] * 5, columns=2, cell=25))
    assert (sheet == (255, 0, 0)).all(axis=2).sum() == 5 * 25 * 20
    assert sheet.shape == (3 * 20 + 4 * 12, 2 * 25 + 3 * 12, 3)
    with pytest.raises(ValueError, match="images and columns"):
        contact_sheet([])


@pytest.fixture
def no_machine_fonts(monkeypatch):
    """As on a machine without fonts, and nothing said yet."""
    monkeypatch.setattr(text, "installed", lambda character: None)
    monkeypatch.setattr(font_search, "_told", set())
    monkeypatch.delenv("KDET_FONT", raising=False)


def families(line):
    return [font.getname()[0] for _, font in line.runs]


@pytest.mark.parametrize(
    "name",
    ["Käse", "Łódź", "Tiếng Việt", "naïve café €", "Ωμέγα", "кот", "їжак", "قطة", "חתול", "კატა"]
    + ["կատու", "5 µm²", "♀ ✓ →"],
)
def test_the_shipped_font_has_these_scripts(name, no_machine_fonts, capsys):
    """Every letter is drawn, none as the square of missing ones."""
    line = Writer(20).line(name, "#0")
    assert line.text == clean(name) and capsys.readouterr().err == ""
    assert families(line) in (["DejaVu Sans"], ["Aileron"])
    box = [[100, 80, 300, 220]]
    drawn = [np.asarray(draw_boxes(grey(), box, [0], names=[n])) for n in (name, name[:-1] + "i")]
    assert (drawn[0] != drawn[1]).any()


@pytest.mark.parametrize("name", ["猫", "ねこ cat", "고양이", "แมว", "बिल्ली", "\ud800"])
def test_what_no_font_has_becomes_the_number_and_is_said_once(name, no_machine_fonts, capsys):
    names = ["cat", name, name + "s"]
    boxes = [[100, 80, 300, 220], [20, 100, 90, 200]]
    picture = draw_boxes(grey(), boxes, [1, 0], [0.5, 0.6], names)
    same = draw_boxes(grey(), boxes, [1, 0], [0.5, 0.6], ["cat", "#1", "dog"])
    assert (np.asarray(picture) == np.asarray(same)).all()
    draw_boxes(grey(), boxes, [2, 1], None, names)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "KDET_FONT=/path/font.ttf" in said and "U+" in said


def test_letters_without_a_font_are_spelled_in_plainer_ones(no_machine_fonts):
    writer = Writer(20)
    assert writer.line("ＡＢ ｃ 90%", "#0").text == "AB c 90%"
    assert writer.line("猫 title").text == "? title"
    assert writer.line("猫 ", "#3 ").text == "#3"


def test_a_text_is_one_line_without_control_characters():
    assert clean(" a\nb\t\x07c ") == "a b c" and clean("e\u0301\ufe0f\u202e") == "é"
    for name in ("two\nlines", "\u202eleft", " ", "", "x" * 500):
        draw_boxes(grey(), [[100, 80, 300, 220]], [0], names=[name])
    ends = [draw_boxes(grey(), [[9, 80, 300, 220]], [0], [0.5], ["x" * 99 + end]) for end in "ab"]
    assert (np.asarray(ends[0]) == np.asarray(ends[1])).all() and LONGEST < 99


def test_the_lines_of_a_picture_share_a_font(no_machine_fonts):
    assert families(Writer(20).line("cat")) == ["Aileron"]
    assert families(Writer(20, ["cat", "Käse"]).line("cat")) == ["DejaVu Sans"]
    assert families(Writer(20, ["cat", "猫"]).line("cat")) == ["Aileron"]


def test_a_font_of_your_own(no_machine_fonts, tmp_path, monkeypatch, capsys):
    font = tmp_path / "mine.ttf"
    font.write_bytes(open(font_search.SHIPPED.file, "rb").read())
    monkeypatch.setenv("KDET_FONT", str(font))
    assert families(Writer(20).line("cat")) == ["DejaVu Sans"]
    for bad in (tmp_path / "none.ttf", tmp_path):
        monkeypatch.setenv("KDET_FONT", str(bad))
        for _ in range(2):
            assert families(Writer(20).line("cat")) == ["Aileron"]
        said = capsys.readouterr().err
        assert said.startswith(f"kdet: KDET_FONT={bad}: expected a font file")
        assert said.count("\n") == 1


def test_fonts_of_the_machine_are_asked_for_and_checked(tmp_path, monkeypatch):
    """fontconfig answers with a font even where none has the character."""
    program = tmp_path / "fc-match"
    program.write_text(f"#!/bin/sh\nprintf 'none.ttf\\t0\\n{font_search.SHIPPED.file}\\t0\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(font_search, "_well_known", list)
    installed = font_search.installed.__wrapped__
    assert installed("ж") == font_search.SHIPPED and installed("猫") is None
    program.write_text("#!/bin/sh\nexit 1\n")
    assert installed("ж") is None
    monkeypatch.setattr(font_search, "_well_known", lambda: [font_search.SHIPPED])
    assert installed("ж") == font_search.SHIPPED


def test_a_line_may_need_two_fonts(monkeypatch):
    monkeypatch.setattr(text, "SHIPPED", text.PILLOW)
    monkeypatch.setattr(text, "installed", lambda character: font_search.SHIPPED)
    monkeypatch.setattr(text, "has", lambda font, c: (c in "cat ") != (font.file != ""))
    line = Writer(20).line("cat кот")
    assert [piece for piece, _ in line.runs] == ["cat ", "кот"]
    picture = Image.new("L", (200, 40))
    line.draw(picture, 0, 0, 255)
    assert abs(picture.getbbox()[2] - line.width) < 4 and line.height >= 20
