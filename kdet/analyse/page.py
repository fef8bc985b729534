"""The report as one HTML file, with its pictures inside and without scripts."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from kdet.analyse.match import KINDS
from kdet.analyse.measure import IOUS
from kdet.analyse.words import ADVICE, FEW, MEANING, counted, percent, ranked
from kdet.analyse.worst import COLOURS

UNFOLDED = 25  # rows of a table that are always shown
RARE = 50  # training objects


def page(numbers: dict, charts: dict[str, bytes], pictures: list[bytes]) -> str:
    """The report.

    Args:
        numbers: the content of analysis.json.
        charts: name -> PNG file, see `kdet.analyse.figures.figures`.
        pictures: JPEG files of the images in numbers["worst"].
    """
    parts = (_head, _errors, _curves, _classes, _confusion, _sizes, _labels, _learning)
    body = "\n".join(part(numbers, charts) for part in parts) + _worst(numbers, pictures) + _rules()
    style = Path(__file__).with_name("report.css").read_text("utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Errors on {escape(numbers['data'])}</title>\n<style>{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _uri(content, kind):
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _chart(charts, name, alt, *texts):
    if name not in charts:
        return ""
    image = f'<figure class="chart"><img src="{_uri(charts[name], "png")}" alt="{escape(alt)}">'
    return image + "</figure>\n" + "".join(f"<p>{text}</p>\n" for text in texts)


def _table(head, rows):
    """A table of texts, which are escaped here. The first entry of a row is its style, or "".

    The end of a long table is folded.
    """

    def lines(rows):
        return "".join(
            f"<tr{f' class={style}' if style else ''}>"
            + "".join(f"<{kind}>{escape(text)}</{kind}>" for text in cells)
            + "</tr>\n"
            for kind, style, *cells in (("th", "", *head), *(("td", *row) for row in rows))
        )

    text = f'<div class="table"><table>\n{lines(rows[:UNFOLDED])}</table></div>\n'
    if rest := rows[UNFOLDED:]:
        text += f"<details><summary>{len(rest)} more</summary>"
        text += f'<div class="table"><table>\n{lines(rest)}</table></div></details>\n'
    return text


def _by_objects(numbers):
    """The classes by falling number of objects; the style of rows with few objects is "few"."""
    rows = sorted(numbers["per_class"], key=lambda r: -r["objects"])
    return [("few" if r["objects"] < FEW else "", r) for r in rows]


def _head(numbers, charts):
    best = numbers["best"] or {}
    tiles = (
        (percent(numbers["AP"]), "AP, IoU 0.5 to 0.95"),
        (percent(numbers["AP50"]), "AP50"),
        (percent(best.get("recall"), 0) + "%", "of the objects found"),
        (percent(best.get("precision"), 0) + "%", "of the detections correct"),
        (f"{numbers['threshold']:.2f}", "score threshold"),
    )
    tiles = "".join(f"<div><b>{n}</b><span>{t}</span></div>" for n, t in tiles)
    text = f"Data set: {escape(numbers['data'])}. "
    text += f"{counted(numbers['ignored_objects'], 'crowd or difficult object')} not counted. "
    text += f"{numbers['shown_detections']} of {numbers['detections']} detections reach the score "
    text += "threshold. Errors, confusions, recall by size and pictures use it."
    return (
        f"<h1>What the detector gets wrong</h1>\n"
        f'<p class="lead">{escape(numbers["summary"])}</p>\n<div class="tiles">{tiles}</div>\n'
        f'<p class="note">{text}</p>'
    )


def _errors(numbers, charts):
    kinds = "".join(
        f"<p><b>{kind}</b>: {percent(numbers['errors'][kind]['ap50_cost'])} points of AP50, "
        f"{counted(numbers['errors'][kind]['count'], 'error')}. {MEANING[kind]} {ADVICE[kind]}"
        "</p>\n"
        for kind in ranked(numbers)
    )
    rows = [
        (style, r["name"], str(r["objects"]), *(str(r["errors"][k]) for k in KINDS))
        for style, r in _by_objects(numbers)
    ]
    return (
        "<h2>Kinds of errors</h2>\n"
        + _chart(
            charts, "errors", "bars: points of AP50 that each kind of error costs",
            "The longest bar is the kind of error to work on first. Its length is the rise of AP50 "
            "if all errors of that kind were corrected. The number of errors is counted at the "
            "score threshold; the cost includes detections with lower scores.",
        )
        + kinds
        + "<p>The same errors, class by class. A wrong detection counts for the class that it "
        "claims, and a missed object for its own class.</p>\n"
        + _table(("class", "objects", *KINDS), rows)
    )  # fmt: skip


def _curves(numbers, charts):
    return "<h2>Precision and recall</h2>\n" + _chart(
        charts, "curves", "curves: precision over recall",
        "Recall is the share of the objects that are found. Precision is the share of the "
        "detections that are correct. A curve goes from the highest scores on the left to the "
        "lowest on the right; the area below it is AP50, the number in brackets. A curve that ends "
        "far left belongs to a class of which many objects are never found.",
    ) + _chart(
        charts, "ap_by_iou", "curve: AP over the IoU that a correct box needs",
        "AP falls when boxes must be more exact. If it falls steeply already below 0.75, the boxes "
        "are inexact: check the annotated boxes, and train longer or with larger images.",
    )  # fmt: skip


def _classes(numbers, charts):
    names = ("AP", *IOUS)
    aps = [("", "all classes", str(numbers["objects"]), *(percent(numbers[n]) for n in names))]
    rows = [("", "all classes", str(numbers["objects"]), *_best(numbers["best"]))]
    for style, r in _by_objects(numbers):
        aps.append((style, r["name"], str(r["objects"]), *(percent(r[n]) for n in names)))
        rows.append((style, r["name"], str(r["objects"]), *_best(r["best"])))
    return (
        "<h2>Classes</h2>\n<p>AP in percent. AP50 asks for an IoU of 0.5, AP75 for 0.75, and AP is "
        f"the mean from 0.5 to 0.95. Classes with fewer than {FEW} objects are grey, because their "
        "numbers are uncertain. A class without objects has no AP.</p>\n"
        + _table(("class", "objects", *names), aps)
        + "<p>The score threshold at which each class alone has its best F1, and its precision and "
        "recall there, in percent. Use these thresholds if you can set one per class; otherwise "
        "use the one of all classes, for example as <code>--threshold</code> of kdet detect.</p>\n"
        + _table(("class", "objects", "threshold", "precision", "recall", "F1"), rows)
    )


def _best(best):
    if best is None:
        return ("-",) * 4
    return (f"{best['threshold']:.2f}", *(percent(best[k]) for k in ("precision", "recall", "f1")))


def _confusion(numbers, charts):
    pairs = [("", p["true"], p["detected"], str(p["count"])) for p in numbers["confused"][:12]]
    return (
        "<h2>Confused classes</h2>\n"
        + _chart(
            charts, "confusion", "table: true class against detected class",
            "A row is what is in the image, and a column is what the detector says. Green cells "
            "are correct. The last column counts objects that were not found, and the last row "
            "counts detections without an object of their own. Dark orange cells between two "
            "classes are worth a look at the labels. With many classes, only those "
            "with the most confusions are shown; analysis.json has them all.",
        )
        + (_table(("true class", "detected as", "objects"), pairs) if pairs else
           "<p>No object was detected as another class.</p>")
    )  # fmt: skip


def _sizes(numbers, charts):
    return "<h2>Sizes of objects</h2>\n" + _chart(
        charts, "sizes", "bars: recall of objects by size",
        "The first three rows are the sizes of COCO. The others divide the objects of this data "
        "set into groups of equal number, by the side of a square with the area of the box. If "
        "small objects are found less often, train and detect with larger images. If the second "
        "bar is much longer than the first, objects are found with scores below the threshold.",
    )  # fmt: skip


def _labels(numbers, charts):
    train = numbers["labels"].get("train")
    names = [row["name"] for row in numbers["per_class"]]
    few = [name for name, n in zip(names, train or ()) if n < RARE]
    more = ""
    if few:
        more = f" Fewer than {RARE} training objects: {escape(', '.join(few[:15]))}"
        more += f", and {counted(len(few) - 15, 'more class', 'more classes')}" * (len(few) > 15)
        more += "."
    return "<h2>Objects per class</h2>\n" + _chart(
        charts, "labels", "bars: share of each class in the data sets",
        "The numbers are counts of objects, and the chart has the most frequent classes. A class "
        "with few training objects is learned badly: add images of it. If the bars of one class "
        "differ much, the two parts of the data show different things, and should be split again "
        f"at random.{more}",
    )  # fmt: skip


def _learning(numbers, charts):
    text = _chart(
        charts, "loss", "curves: training and validation loss",
        "Both losses should fall and then level out. If the validation loss rises while the "
        "training loss still falls, the detector learns the training images by heart: stop "
        "earlier, or add images or augmentation. If both still fall at the end, train longer.",
    ) + _chart(
        charts, "losses", "curves: each loss",
        "The parts of the loss. Lines are the training data, and dots the validation data.",
    ) + _chart(
        charts, "metric", "curves: metrics of the evaluations during training",
        "If the curve still rises at the end, train longer. If it has fallen, the best checkpoint "
        "is earlier than the last one.",
    )  # fmt: skip
    return f"<h2>Learning curves</h2>\n{text}" if text else ""


def _worst(numbers, pictures):
    key = "".join(
        f'<span><i style="background:rgb{colour}"></i>{name}</span>'
        for name, colour in COLOURS.items()
    )
    figures = "\n".join(
        f'<figure><img src="{_uri(content, "jpeg")}" alt="" loading="lazy"><figcaption>'
        f"{escape(str(row['file_name'] or row['image_id']))}: {row['correct']} correct, "
        f"{row['missed']} not found, {row['wrong']} wrong</figcaption></figure>"
        for row, content in zip(numbers["worst"], pictures)
    )
    return (
        f"\n<h2>The {len(pictures) or ''} worst images</h2>\n<p>These images have the most errors: "
        "each object that was not found counts 1, and each wrong detection counts its score. Look "
        "for what they have in common, and for errors of the annotation. Detections that hit a "
        "wrong class or an inexact box have their own colours; false detections are duplicates or "
        f'lie on background.</p>\n<p class="key">{key}</p>\n<div class="worst">\n{figures}\n</div>'
    )


def _rules():
    return (
        '\n<h2>How it is counted</h2>\n<p class="note">AP is that of COCO, computed by pycocotools '
        "with at most 100 detections per class and image. Crowds and difficult objects are ignored "
        "by COCO's rule for crowds: they are not counted, and detections that lie on them are "
        "neither right nor wrong. (kdet evaluate counts difficult objects in COCO's metric.) A "
        "detection is correct if its IoU with a free object of its class is 0.5 or more. The kinds "
        "of errors are those of TIDE (Bolya et al. 2020). The cost of a kind is the rise of AP50 "
        "if only that kind is corrected, so the costs do not add up.</p>"
    )
