"""Line charts, bar charts and heat maps. Lengths are in the units of `kdet.draw.canvas`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from kdet.draw.boxes import INK, PAPER
from kdet.draw.canvas import SMALL, TEXT, Canvas, legend, number, ticks, width_of
from kdet.draw.colours import colour

WIDTH = 560  # units; on a phone the text is still readable
GREY, FAINT = (95, 95, 95), (225, 225, 225)
RIGHT, WRONG = (0, 114, 90), (190, 85, 0)  # full shade of a heat map's diagonal, and of the rest
# the lines of a chart, dark enough for white paper
LINES = tuple(colour(k) for k in (6, 4, 2, 1, 5, 0)) + ((120, 94, 160), (90, 90, 90))


@dataclass(frozen=True)
class Series:
    """One line of a line chart.

    Attributes:
        name: shown in the legend.
        x, y: equally many numbers. A point whose y is None or not finite interrupts the line.
        colour: RGB; None chooses by the place in the list.
        dots: draws a dot at every point, as is right for few points.
        width: of the line in units; 0 draws dots only.
    """

    name: str
    x: list
    y: list
    colour: tuple | None = None
    dots: bool = False
    width: float = 2.0


def line_chart(title, series, x_label, y_label, x_range=None, y_range=None) -> Image.Image:
    """A chart of lines over two axes.

    Args:
        title: written above.
        series: `Series` objects.
        x_label, y_label: what the axes mean.
        x_range, y_range: (low, high) of an axis; None takes the data's, with zero for y. Higher and
            lower points are drawn at the border.
    """
    series = [replace(s, colour=s.colour or _ink(k)) for k, s in enumerate(series)]
    canvas = Canvas(WIDTH, 400 + 20 * (len(series) // 3))
    canvas.text(16, 20, title, 16, room=WIDTH - 32)
    entries = [(s.name, s.colour) for s in series] if len(series) > 1 else []
    left, right, top = 66, WIDTH - 20, legend(canvas, entries, 66, 36, WIDTH - 16) + 10
    bottom = canvas.height - 52
    x_range = x_range or _range([v for s in series for v in s.x], False)
    y_range = y_range or _range([v for s in series for v in s.y], True)

    def place(x, y):
        across = (np.clip(x, *x_range) - x_range[0]) / (x_range[1] - x_range[0])
        up = (np.clip(y, *y_range) - y_range[0]) / (y_range[1] - y_range[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    for value in ticks(*y_range):
        y = place(x_range[0], value)[1]
        canvas.line([(left, y), (right, y)], FAINT)
        canvas.text(left - 8, y, number(value), SMALL, GREY, "right")
    for value in ticks(*x_range, 6):
        x = place(value, y_range[0])[0]
        canvas.line([(x, bottom), (x, bottom + 5)], GREY)
        canvas.text(x, bottom + 15, number(value), SMALL, GREY, "middle")
    canvas.line([(left, bottom), (right, bottom)], GREY, 1.2)
    canvas.text((left + right) / 2, bottom + 36, x_label, TEXT, INK, "middle")
    canvas.upright_text(16, (top + bottom) / 2, y_label, align="middle", room=bottom - top)
    for one in series:
        for run in _runs(one.x, one.y):
            points = [place(x, y) for x, y in run]
            if one.width and len(points) > 1:
                canvas.line(points, one.colour, one.width)
            for x, y in points if one.dots or len(points) == 1 else ():
                canvas.dot(x, y, one.colour)
    if not any(_runs(s.x, s.y) for s in series):
        _nothing(canvas, (left + right) / 2, (top + bottom) / 2)
    return canvas.finished()


def _ink(k):
    return LINES[k % len(LINES)]


def _nothing(canvas, x, y):
    canvas.text(x, y, "there is nothing to show", TEXT, GREY, "middle")


def _finite(values):
    return [float(v) for v in values if v is not None and math.isfinite(v)]


def _range(values, zero):
    values = _finite(values) + [0.0] * zero or [0.0]
    low, high = min(values), max(values)
    return (low, high if high > low else low + 1.0)


def _runs(x, y):
    """The points of a line as lists of (x, y) without undefined points."""
    runs = [[]]
    for a, b in zip(x, y):
        if b is None or not math.isfinite(b):
            runs.append([])
        else:
            runs[-1].append((float(a), float(b)))
    return [run for run in runs if run]


def bar_chart(title, names, series, label, texts=None, most=None) -> Image.Image:
    """Horizontal bars, one group per name.

    Args:
        title: written above.
        names: n texts.
        series: legend -> n numbers of at least 0; None is undefined and drawn as "-".
        label: what the length of a bar means.
        texts: legend -> n texts behind the bars; default: the numbers.
        most: the length of the full width; default: that of the longest bar.
    """
    thick = (16 if len(series) == 1 else 12) if len(names) <= 24 else 9
    size = SMALL if len(names) <= 24 else 10
    row = thick * len(series) + max(6, thick // 2)
    width = max((width_of(n, size, 170) for n in names), default=0)
    left, right = 16 + width + 8, WIDTH - 76
    top = 40 + 22 * (1 + len(series) // 4) * (len(series) > 1)
    canvas = Canvas(WIDTH, top + row * max(len(names), 3) + 44)
    canvas.text(16, 20, title, 16, room=WIDTH - 32)
    if len(series) > 1:
        legend(canvas, [(n, _ink(k)) for k, n in enumerate(series)], left, 36, WIDTH - 16)
    bottom = canvas.height - 44
    most = most or max(_finite(v for values in series.values() for v in values), default=0) or 1
    for value in ticks(0, most):
        x = left + value / most * (right - left)
        canvas.line([(x, top), (x, bottom)], FAINT)
        canvas.text(x, bottom + 12, number(value), SMALL, GREY, "middle")
    canvas.text((left + right) / 2, bottom + 31, label, TEXT, INK, "middle", right - left)
    for i, name in enumerate(names):
        y = top + i * row + (row - thick * len(series)) / 2
        canvas.text(left - 8, top + (i + 0.5) * row, name, size, INK, "right", 170)
        for k, (key, values) in enumerate(series.items()):
            value = values[i]
            end = left + min(value or 0, most) / most * (right - left)
            canvas.area(left, y + 1, end, y + thick - 1, _ink(k))
            text = texts[key][i] if texts else "-" if value is None else number(value)
            canvas.text(end + 5, y + thick / 2, text, min(size, thick + 1), GREY)
            y += thick
    canvas.line([(left, top), (left, bottom)], GREY, 1.2)
    if not names:
        _nothing(canvas, (left + right) / 2, (top + bottom) / 2)
    return canvas.finished()


def heat_map(title, rows, columns, shades, texts, row_label, column_label) -> Image.Image:
    """A table of shaded cells. Cells whose row and column have one name are green, others orange.

    Args:
        title: written above.
        rows, columns: names.
        shades: (rows, columns) 0..1; values that are not finite count as 0.
        texts: rows x columns texts.
        row_label, column_label: what the rows and the columns mean.
    """
    names = [*rows, *columns]
    room = min(130, max((width_of(n, SMALL, 130) for n in names), default=0))
    left, top = 40 + room + 8, 64 + room + 8
    side = min(56, (WIDTH - 16 - left) / max(len(columns), 1))
    canvas = Canvas(WIDTH, top + side * len(rows) + 16)
    canvas.text(16, 20, title, 16, room=WIDTH - 32)
    canvas.text(left, 46, column_label, TEXT)
    canvas.upright_text(18, top + side * len(rows) / 2, row_label, align="middle")
    shades = np.clip(np.nan_to_num(np.asarray(shades, np.float64)), 0, 1)
    size = min(SMALL + 1, max(7, int(side * 0.42)))
    for k, name in enumerate(columns):
        canvas.upright_text(left + (k + 0.5) * side, top - 8, name, SMALL, room=room)
    for i, name in enumerate(rows):
        y = top + i * side
        canvas.text(left - 8, y + side / 2, name, SMALL, INK, "right", room)
        for k, other in enumerate(columns):
            x, full = left + k * side, np.array(RIGHT if name == other else WRONG)
            cell = np.array(PAPER) + math.sqrt(shades[i, k]) * (full - np.array(PAPER))
            canvas.area(x, y, x + side - 1, y + side - 1, tuple(int(c) for c in cell))
            ink = PAPER if shades[i, k] > 0.35 else INK
            canvas.text(x + side / 2, y + side / 2, texts[i][k], size, ink, "middle", side)
    for k in range(len(columns) + 1):
        canvas.line([(left + k * side, top), (left + k * side, top + side * len(rows))], FAINT)
    for i in range(len(rows) + 1):
        canvas.line([(left, top + i * side), (left + side * len(columns), top + i * side)], FAINT)
    return canvas.finished()
