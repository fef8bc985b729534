"""Which fonts there are, and which of them have a character.

Pillow's own font has ASCII and little more, so DejaVu Sans is shipped beside this file (Latin,
Greek, Cyrillic, Arabic, Hebrew, Georgian, Armenian, many symbols; its licence is in the same
folder). Other scripts need a font of the machine.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from PIL import ImageFont

VARIABLE = "KDET_FONT"
JOINERS = "\u200c\u200d"  # they shape their neighbours and have no glyph of their own
_NO_CHARACTER = "\U0010ffff"  # Unicode keeps it free, so fonts draw their "missing" glyph
_PIXELS = 24  # the size at which glyphs are compared
_WAIT = 10  # seconds for fontconfig's answer
# Pillow looks for these in the font folders of the system. The order is: Linux, macOS, Windows,
# and last the font that has a coarse glyph for everything.
_WELL_KNOWN = """
NotoSans-Regular.ttf NotoSansCJK-Regular.ttc NotoSansCJKsc-Regular.otf NotoSansSC-Regular.otf
wqy-microhei.ttc wqy-zenhei.ttc DroidSansFallbackFull.ttf NotoSansDevanagari-Regular.ttf
NotoSansBengali-Regular.ttf NotoSansTamil-Regular.ttf NotoSansThai-Regular.ttf FreeSans.ttf
NotoSansSymbols2-Regular.ttf NotoSansEthiopic-Regular.ttf Garuda.ttf Lohit-Devanagari.ttf
Arial Unicode.ttf|PingFang.ttc|Hiragino Sans GB.ttc|AppleSDGothicNeo.ttc|Kohinoor.ttc|Thonburi.ttc
msyh.ttc msyh.ttf simsun.ttc YuGothM.ttc meiryo.ttc malgun.ttf Nirmala.ttf Nirmala.ttc LeelawUI.ttf
segoeui.ttf seguisym.ttf ebrima.ttf arialuni.ttf unifont.otf unifont.ttf
"""


class Font(NamedTuple):
    """A font file and the number of the face in it; the empty file is Pillow's own font."""

    file: str
    index: int = 0


PILLOW = Font("")
SHIPPED = Font(str(Path(__file__).with_name("fonts") / "DejaVuSans.ttf"))
_told: set[str] = set()


def tell_once(subject: str, message: str) -> None:
    """Prints a message to stderr, the first time in this process that the subject comes up."""
    if subject not in _told:
        _told.add(subject)
        print(f"kdet: {message}", file=sys.stderr)


@functools.lru_cache(maxsize=256)
def load(font: Font, size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels. Raises OSError where FreeType cannot read or scale it."""
    if not font.file:
        return ImageFont.load_default(size)
    return ImageFont.truetype(font.file, size, font.index)


@functools.lru_cache(maxsize=1 << 16)
def has(font: Font, character: str) -> bool:
    """Whether the font draws the character, and not the glyph for missing ones in its place."""
    if character == " " or character in JOINERS:
        return True
    try:
        return _look(font, character) != _look(font, _NO_CHARACTER)
    except (OSError, ValueError):  # no font, one of fixed sizes, or half of a surrogate pair
        return False


def _look(font, character):
    # Basic layout draws the character alone: HarfBuzz adds a dotted circle to a lone accent.
    plain = _unshaped(font)
    mask = plain.getmask(character)
    return bytes(mask), mask.size, plain.getlength(character)


@functools.lru_cache(maxsize=256)
def _unshaped(font):
    if not font.file:
        return ImageFont.load_default(_PIXELS)  # always in basic layout
    # font_variant() cannot ask for it: before Pillow 13, it takes BASIC, which is 0, for unset
    basic = ImageFont.Layout.BASIC
    return ImageFont.truetype(font.file, _PIXELS, font.index, layout_engine=basic)


def chosen() -> list[Font]:
    """The font that the environment variable KDET_FONT names, if it can be read.

    What cannot be read is reported once on stderr.
    """
    file = os.environ.get(VARIABLE)
    if not file:
        return []
    try:
        load(Font(file), _PIXELS)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        message = f"{VARIABLE}={file}: expected a font file (.ttf, .otf, .ttc), got: {reason}"
        tell_once(f"{VARIABLE}={file}", f"{message}; other fonts are used")
        return []
    return [Font(file)]


@functools.lru_cache(maxsize=4096)
def installed(character: str) -> Font | None:
    """A font of this machine that has the character, or None.

    fontconfig is asked where it is there; after it, well-known files are looked for.
    """
    for font in _of_fontconfig(character):
        if has(font, character):
            return font
    return next((font for font in _well_known() if has(font, character)), None)


def _of_fontconfig(character):
    """Fonts that fontconfig sorts first for a character; they need not have it."""
    program = shutil.which("fc-match")
    if program is None:
        return []
    pattern = f"sans:charset={ord(character):x}:scalable=true"
    command = [program, "--sort", "--format=%{file}\t%{index}\n", pattern]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=_WAIT, check=True).stdout
        rows = [line.rsplit("\t", 1) for line in os.fsdecode(answer).splitlines()[:20]]
        return [Font(file, int(index)) for file, index in rows]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


@functools.cache
def _well_known():
    names = []
    for line in _WELL_KNOWN.strip().splitlines():  # names with blanks are on lines with bars
        names += line.split("|") if "|" in line else line.split()
    found = []
    for name in names:
        try:
            found.append(Font(load(Font(name), _PIXELS).path))
        except (OSError, ValueError):
            continue
    return found
