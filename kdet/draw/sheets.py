"""Several pictures on one sheet."""

from __future__ import annotations

from PIL import Image

from kdet.draw.boxes import INK, PAPER
from kdet.draw.text import Writer

MARGIN = 12  # pixels around every picture


def _picture(image):
    return image.convert("RGB") if isinstance(image, Image.Image) else Image.fromarray(image)


def side_by_side(left, right, titles=("truth", "predictions")) -> Image.Image:
    """Two pictures (PIL or (H, W, 3) uint8) at equal height under their titles."""
    left, right = _picture(left), _picture(right)
    height = max(left.height, right.height)
    pair = [p.resize((round(p.width * height / p.height), height)) for p in (left, right)]
    writer = Writer(max(14, round(height / 28)), titles)
    band = 2 * writer.size
    size = (pair[0].width + pair[1].width + 3 * MARGIN, height + band + MARGIN)
    sheet, x = Image.new("RGB", size, PAPER), MARGIN
    for picture, title in zip(pair, titles):
        sheet.paste(picture, (x, band))
        line = writer.line(title)
        line.draw(sheet, x, round((band - line.height) / 2), INK)
        x += picture.width + MARGIN
    return sheet


def contact_sheet(images, columns: int = 4, cell: int = 480) -> Image.Image:
    """Pictures (PIL or (H, W, 3) uint8) in rows of `columns`, each within `cell` pixels a side.

    Raises ValueError for no images or columns < 1.
    """
    pictures = [_picture(image) for image in images]
    if not pictures or columns < 1:
        raise ValueError(f"expected images and columns >= 1, got {len(pictures)} and {columns}")
    scale = min(1, cell / max(max(p.size) for p in pictures))
    pictures = [p.resize([max(1, round(s * scale)) for s in p.size]) for p in pictures]
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    width = max(p.width for p in pictures) + MARGIN
    heights = [max(p.height for p in row) + MARGIN for row in rows]
    size = (min(columns, len(pictures)) * width + MARGIN, sum(heights) + MARGIN)
    sheet, y = Image.new("RGB", size, PAPER), MARGIN
    for row, height in zip(rows, heights):
        for k, picture in enumerate(row):
            x = MARGIN + k * width + (width - MARGIN - picture.width) // 2
            sheet.paste(picture, (x, y + (height - MARGIN - picture.height) // 2))
        y += height
    return sheet
