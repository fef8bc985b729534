"""Text of any script on pictures, in as few fonts as will do.

The fonts are tried in this order: KDET_FONT, Pillow's own, DejaVu Sans, those of the machine.
What none of them has is drawn as something readable, and that is reported once on stderr.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from PIL import ImageDraw

from kdet.draw.font_search import (
    JOINERS,
    PILLOW,
    SHIPPED,
    VARIABLE,
    chosen,
    has,
    installed,
    load,
    tell_once,
)


@dataclass(frozen=True)
class Line:
    """A line of text that is ready to be drawn.

    Attributes:
        runs: pieces of the text and the Pillow font of each.
        width: pixels, not rounded.
        ascent, descent: pixels above and below the base line, of the tallest font.
    """

    runs: tuple
    width: float
    ascent: int
    descent: int

    @property
    def text(self) -> str:
        """What is drawn."""
        return "".join(text for text, _ in self.runs)

    @property
    def height(self) -> int:
        """Pixels from the top of the tallest letter to the bottom of the lowest."""
        return self.ascent + self.descent

    def draw(self, picture, x, y, fill) -> None:
        """Draws the text on a PIL image, its left upper corner at x, y (pixels)."""
        pen = ImageDraw.Draw(picture)
        for text, font in self.runs:
            pen.text((x, y + self.ascent), text, fill=fill, font=font, anchor="ls")
            x += font.getlength(text)


class Writer:
    """Lays out lines of text.

    Args:
        size: height of the letters in pixels.
        texts: what will be written. The font that has most of it is preferred, so that the lines
            of one picture look alike.
    """

    def __init__(self, size: int, texts=()):
        self.size = size
        wanted = set().union(*(clean(text) for text in texts))
        rest = sorted((PILLOW, SHIPPED), key=lambda font: sum(not has(font, c) for c in wanted))
        self._fonts = [*chosen(), *rest]

    def line(self, text, instead: str | None = None) -> Line:
        """Lays out a text.

        Args:
            text: any string. Line breaks and control characters become blanks.
            instead: ASCII text to write where the text has characters that no font has and that
                cannot be spelled in plainer letters; None puts a question mark for each.
        """
        text = clean(text)
        lacking = [c for c in dict.fromkeys(text) if self._font_of(c) is None]
        if lacking:
            _tell(lacking)
            text = self._readable(text, lacking, instead)
        runs = [(piece, load(font, self.size)) for piece, font in self._runs(text)]
        heights = [font.getmetrics() for _, font in runs]
        ascent, descent = (max(values) for values in zip(*heights))
        return Line(tuple(runs), sum(f.getlength(piece) for piece, f in runs), ascent, descent)

    def _font_of(self, character):
        for font in self._fonts:
            if has(font, character):
                return font
        return installed(character)

    def _runs(self, text):
        """Pieces of the text, each with a font that has all of it; one piece where that can be."""
        needed = [self._font_of(c) for c in text]
        for font in dict.fromkeys([*self._fonts, *needed]):
            if all(has(font, c) for c in text):
                return [(text, font)]
        runs = []
        for character, font in zip(text, needed):
            # Accents stay with their letter, and blanks and signs with what is before them.
            if runs and (has(runs[-1][1], character) or unicodedata.combining(character)):
                runs[-1] = (runs[-1][0] + character, runs[-1][1])
            else:
                runs.append((character, font))
        return runs

    def _readable(self, text, lacking, instead):
        for character in lacking:
            plain = [c for c in unicodedata.normalize("NFKD", character) if c != character]
            plain = "".join(c for c in plain if not unicodedata.combining(c))
            if plain and all(self._font_of(c) for c in plain):
                text = text.replace(character, plain)
            elif instead is not None:
                return clean(instead)
            else:
                text = text.replace(character, "?")
        return text


def clean(text) -> str:
    """The text on one line, with accents joined to their letters and without control characters."""
    kept = []
    for character in unicodedata.normalize("NFC", str(text)):
        category = unicodedata.category(character)
        if category == "Cc":
            kept.append(" ")
        elif character in JOINERS or category != "Cf" and not "\ufe00" <= character <= "\ufe0f":
            kept.append(character)
    return " ".join("".join(kept).split())


def _tell(lacking):
    name = unicodedata.name(lacking[0], "no character of Unicode")
    tell_once(
        "missing characters",
        f"no font of this machine has {''.join(lacking[:8])!r} (U+{ord(lacking[0]):04X}, {name}); "
        "such names are drawn in plainer letters or as the number of the label, such as #3. "
        "Install a font that covers them (Debian: fonts-noto-core, fonts-noto-cjk), or set "
        f"{VARIABLE}=/path/font.ttf",
    )
