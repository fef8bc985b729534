"""Pictures of the images with the most errors: objects and detections, coloured by error."""

from __future__ import annotations

import numpy as np
from PIL import Image

from kdet.analyse.match import CLASS, CORRECT, LOCALISATION, Matches
from kdet.analyse.measure import penalties
from kdet.draw import contact_sheet, draw_boxes
from kdet.draw.canvas import legend_strip

MOST = 24
COLOURS = {
    "correct": (0, 158, 115),
    "missed object": (0, 114, 230),
    "wrong class": (230, 159, 0),
    "wrong box": (204, 90, 170),
    "false": (222, 30, 30),
}


def worst_images(m: Matches, shown, images: list[dict]) -> list[dict]:
    """The images with the largest penalty above 0, at most 24, worst first.

    Args:
        m: the matches.
        shown: (n,) bool, the detections that count.
        images: COCO's entries with "id" and "file_name".

    Returns:
        {"image_id", "file_name", "penalty", "correct", "missed", "wrong"} of each: the numbers of
        correct detections, of objects that were not found, and of wrong detections.
    """
    penalty, names = penalties(m, shown), {i["id"]: i.get("file_name", "") for i in images}
    order = np.argsort(-penalty, kind="stable")[:MOST]
    lost, right = ~m.found(shown), shown & (m.kind == CORRECT)
    wrong = shown & (m.kind != CORRECT)
    return [
        {
            "image_id": (image_id := int(m.image_ids[k])),
            "file_name": names[image_id],
            "penalty": float(penalty[k]),
            "correct": int((m.image[right] == k).sum()),
            "missed": int((m.object_image[lost] == k).sum()),
            "wrong": int((m.image[wrong] == k).sum()),
        }
        for k in order
        if penalty[k] > 0
    ]


def picture(image, m: Matches, shown, image_id: int, names) -> Image.Image:
    """One image with its correct and wrong detections, and with the objects that were not found.

    Args:
        image: (H, W, 3) uint8 RGB.
        m, shown: as in `worst_images`.
        image_id: the image's id.
        names: K class names.
    """
    k = int(np.flatnonzero(m.image_ids == image_id)[0])
    mine = np.flatnonzero(shown & (m.image == k))
    # An object whose class is wrong has a detection at its place already.
    lost = m.missed(shown)
    lost[m.target[mine[m.kind[mine] == LOCALISATION]]] = True
    lost = np.flatnonzero(lost & (m.object_image == k) & ~m.found(shown))
    mine = mine[::-1]  # better detections are drawn over worse ones
    states = ["missed object"] * len(lost) + [_state(m.kind[i]) for i in mine]
    texts = [names[m.object_label[i]] for i in lost]
    texts += [f"{names[m.label[i]]} {100 * m.score[i]:.0f}%" for i in mine]
    return draw_boxes(
        image,
        np.concatenate([m.object_box[lost], m.box[mine]]),
        np.arange(len(texts)),
        names=texts,
        colours=[COLOURS[s] for s in states],
    )


def _state(kind):
    named = {CORRECT: "correct", CLASS: "wrong class", LOCALISATION: "wrong box"}
    return named.get(int(kind), "false")


def pictures_of(rows: list[dict], m: Matches, shown, records, most_pixels: int = 640) -> list:
    """A picture of each row of `worst_images`, with sides of at most `most_pixels`.

    Raises:
        DataError: a record is damaged.
    """
    from kdet.data.decode import decode

    numbers = [int(np.flatnonzero(records.image_ids == row["image_id"])[0]) for row in rows]
    images = records.iterate(decode(records.read(number))["image"] for number in numbers)
    pictures = []
    for row, image in zip(rows, images):
        drawn = picture(image.numpy(), m, shown, row["image_id"], records.labels.names)
        drawn.thumbnail((most_pixels, most_pixels), Image.LANCZOS)
        pictures.append(drawn)
    return pictures


def worst_sheet(pictures) -> Image.Image:
    """All pictures on one sheet below a legend; a legend alone if there are none."""
    sheet = contact_sheet(pictures) if pictures else Image.new("RGB", (1200, 1), "white")
    strip = legend_strip(list(COLOURS.items()), max(sheet.width, 1200))
    whole = Image.new("RGB", (strip.width, strip.height + sheet.height), "white")
    whole.paste(strip, (0, 0))
    whole.paste(sheet, (0, strip.height))
    return whole
