"""Charts: scales, and pixels that can be computed by hand."""

import numpy as np
import pytest
from PIL import Image

from kdet.draw.canvas import Canvas, legend_strip, number, ticks, width_of
from kdet.draw.charts import LINES, RIGHT, WIDTH, WRONG, Series, bar_chart, heat_map, line_chart

RED = (200, 0, 0)


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 7, [0, 2, 4, 6]),
        (0, 23, [0, 5, 10, 15, 20]),
        (0.5, 0.9, [0.5, 0.6, 0.7, 0.8, 0.9]),
        (20, 6000, [1000, 2000, 3000, 4000, 5000, 6000]),
        (-3, 4, [-2, 0, 2, 4]),
        (4, 4, [4]),
        (0, float("inf"), [0]),
    ],
)
def test_ticks(low, high, wanted):
    assert ticks(low, high) == pytest.approx(wanted)


def test_numbers_of_axes():
    assert list(map(number, (0, 0.2, 1500, 20_000, 1 / 3))) == ["0", "0.2", "1500", "20k", "0.3333"]


def pixels(image, ink):
    """Rows and columns of exactly this colour, in units."""
    rows, columns = np.nonzero((np.asarray(image) == ink).all(axis=2))
    return rows / 2, columns / 2


def test_a_canvas_is_drawn_in_units():
    canvas = Canvas(30, 20)
    canvas.area(5, 4, 15, 10, RED)
    for width in (0, 0.01, 0.1):
        canvas.area(9, 9, 9 + width, 12, (0, 0, 0))  # empty
    image = canvas.finished()
    assert image.size == (60, 40)
    rows, columns = pixels(image, RED)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 9.5, 5, 14.5)
    assert len(rows) == 20 * 12


def test_slanted_lines_are_smooth():
    canvas = Canvas(40, 40)
    canvas.line([(0, 0), (40, 17)], (0, 0, 0), 2)
    assert set(np.unique(np.asarray(canvas.finished())[..., 0])) > {0, 64, 191, 255}


def test_text_is_cut_to_its_room():
    assert width_of("a" * 100, room=50) <= 50 < width_of("a" * 100)
    assert width_of("a", room=50) == width_of("a")


def test_bars_are_as_long_as_their_numbers():
    image = bar_chart("Bars", ["a", "b", "c", "d"], {"": [10, 5, None, 0]}, "things")
    rows, columns = pixels(image, LINES[0])
    tops = np.unique(rows)
    first, second = (columns[(rows == r)] for r in (tops.min(), tops.max()))
    assert len(first) == pytest.approx(2 * len(second), abs=4)  # the axis covers the first ones
    assert first.min() == pytest.approx(second.min())
    assert np.diff(tops).max() > 4  # there is room between the bars


def test_bars_end_at_the_given_maximum():
    one = bar_chart("Bars", ["a"], {"x": [200]}, "percent", most=100)
    other = bar_chart("Bars", ["a"], {"x": [100]}, "percent", {"x": ["200"]}, most=100)
    assert np.array_equal(np.asarray(one), np.asarray(other))


def test_lines_go_through_their_points():
    """From the left lower to the right upper corner; y = 1 / 2 in the middle."""
    series = [Series("one", [0, 1, 2], [0, 0.5, 1], RED, width=3)]
    image = line_chart("Lines", series, "x", "y", (0, 2), (0, 1))
    rows, columns = pixels(image, RED)
    left, right, top, bottom = columns.min(), columns.max(), rows.min(), rows.max()
    middle = rows[np.abs(columns - (left + right) / 2) < 1].mean()
    assert middle == pytest.approx((top + bottom) / 2, abs=1.5)
    assert right > WIDTH - 25 and left < 70


def test_undefined_points_interrupt_a_line():
    x, y = [0, 1, 2, 3], [1, 1, None, float("nan")]
    image = line_chart("Lines", [Series("one", x, y, RED, width=3)], "x", "y", (0, 3), (0, 2))
    _, columns = pixels(image, RED)
    assert columns.max() < 70 + (WIDTH - 90) / 3


def test_cells_are_shaded_by_their_numbers():
    image = heat_map("Map", ["a", "b"], ["a", "b"], [[1, 0], [1, np.nan]], [[""] * 2] * 2, "", "")
    for ink in (RIGHT, WRONG):
        rows, columns = pixels(image, ink)
        assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=1)
        assert np.ptp(rows) > 40
    assert pixels(image, RIGHT)[0].max() < pixels(image, WRONG)[0].min()  # a is above b


@pytest.mark.parametrize("count", [0, 1, 80])
def test_any_number_of_classes(count):
    names = [f"class {k} 中文 <&>" for k in range(count)]
    values = [None if k % 7 == 3 else k for k in range(count)]
    lines = [Series(name, [0, 1], [0, k]) for k, name in enumerate(names)]
    square = np.zeros((count, count))
    for image in (
        bar_chart("T", names, {"a": values, "b": values}, "x"),
        line_chart("T" * 200, lines, "x", "y"),
        heat_map("T", names, names, square, square.astype(int).tolist(), "true", "found"),
        legend_strip([(name, RED) for name in names], 1000),
    ):
        assert isinstance(image, Image.Image) and image.width in (2 * WIDTH, 1000)
        assert image.height < 8000
