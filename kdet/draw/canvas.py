"""A white sheet to draw charts on with Pillow: lines, areas, text, legends, and round numbers.

Lengths are in units of one pixel of a normal screen. A finished sheet has two pixels per unit, and
it is drawn with four and then reduced, which makes slanted lines smooth.
"""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from kdet.draw.boxes import INK, PAPER
from kdet.draw.text import Writer

PEN, FINAL = 4, 2  # pixels per unit while drawing, and in the end
TEXT, SMALL = 14, 12  # sizes of letters in units


class Canvas:
    """A white sheet of a size in units, with the origin in the left upper corner."""

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self.image = Image.new("RGB", (round(width * PEN), round(height * PEN)), PAPER)
        self._pen = ImageDraw.Draw(self.image)

    def line(self, points, ink, width: float = 1.0) -> None:
        """A line through the points, (n, 2)."""
        flat = [(x * PEN, y * PEN) for x, y in points]
        self._pen.line(flat, fill=ink, width=max(1, round(width * PEN)), joint="curve")

    def dot(self, x, y, ink, radius: float = 3.0) -> None:
        """A filled circle."""
        box = [(x - radius) * PEN, (y - radius) * PEN, (x + radius) * PEN, (y + radius) * PEN]
        self._pen.ellipse(box, fill=ink)

    def area(self, x1, y1, x2, y2, ink) -> None:
        """A filled rectangle; nothing if it is narrower than half a pixel."""
        x1, y1, x2, y2 = (round(value * PEN) for value in (x1, y1, x2, y2))
        if x2 > x1 and y2 > y1:
            self._pen.rectangle([x1, y1, x2 - 1, y2 - 1], fill=ink)

    def text(self, x, y, text, size=TEXT, ink=INK, align="left", room=None) -> float:
        """Writes text whose middle is at height y, and returns its width.

        Args:
            align: which part of the text is at x: "left", "middle" or "right".
            room: units; longer text is cut. None cuts nothing.
        """
        line = _line(text, size, room)
        shift = {"left": 0, "middle": line.width / 2, "right": line.width}[align]
        line.draw(self.image, x * PEN - shift, y * PEN - line.height / 2, ink)
        return line.width / PEN

    def upright_text(self, x, bottom, text, size=TEXT, ink=INK, room=None, align="left") -> None:
        """Writes text that reads upwards, its middle at x. `align` "left" starts it at `bottom`."""
        line = _line(text, size, room)
        part = Image.new("RGB", (math.ceil(line.width) + 1, line.height), PAPER)
        line.draw(part, 0, 0, ink)
        part = part.rotate(90, expand=True)
        top = bottom * PEN - part.height / (1 if align == "left" else 2)
        self.image.paste(part, (round(x * PEN - part.width / 2), round(top)))

    def finished(self) -> Image.Image:
        """The sheet with two pixels per unit."""
        return self.image.reduce(PEN // FINAL)


def _line(text, size, room):
    text, writer = str(text), Writer(size * PEN, [str(text)])
    line = writer.line(text)
    while room is not None and line.width > room * PEN and len(text) > 1:
        # most cuts are right at once, because letters are about equally wide
        text = text[: max(1, min(len(text) - 1, int(len(text) * room * PEN / line.width)))]
        line = writer.line(text.rstrip() + "…")
    return line


def width_of(text, size: float = TEXT, room: float | None = None) -> float:
    """The width of a text in units, cut to `room`."""
    return _line(text, size, room).width / PEN


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, about `count`."""
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return [low]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * k for k in (1, 2, 5, 10) if span / (power * k) <= count * 1.2)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A number of an axis in few letters."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.4g}"


def legend(canvas: Canvas, entries, left: float, top: float, right: float) -> float:
    """Writes (name, colour) entries in rows between left and right. Returns the y below them."""
    x, y = left, top
    for name, ink in entries:
        wide = width_of(name, SMALL, 240) + 34
        if x + wide > right and x > left:
            x, y = left, y + 20
        canvas.area(x, y + 5, x + 14, y + 13, ink)
        canvas.text(x + 19, y + 9, name, SMALL, room=240)
        x += wide
    return y + (22 if entries else 0)


def legend_strip(entries, width: int) -> Image.Image:
    """A legend of (name, colour) entries as a picture of its own, `width` pixels wide."""
    units = width / FINAL
    high = legend(Canvas(units, 4), entries, 8, 6, units - 8)  # a rehearsal that gives the height
    canvas = Canvas(units, high + 6)
    legend(canvas, entries, 8, 6, units - 8)
    return canvas.finished()
