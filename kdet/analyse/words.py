"""The report in words: a summary of the numbers, and what to do about each kind of error."""

from __future__ import annotations

from kdet.analyse.match import KINDS

FEW = 10  # objects; the numbers of a class with fewer are uncertain
MEANING = {
    "class": "The box is right, but the class is wrong.",
    "localisation": "The class is right, but the box is inexact: its IoU is between 0.1 and 0.5.",
    "both": "The class is wrong, and the box is inexact.",
    "duplicate": "Another detection with a higher score has found this object already.",
    "background": "There is no annotated object at this place.",
    "missed": "No detection found the object, not even with a wrong class or an inexact box.",
}
ERRORS = {
    "class": "errors of the class",
    "localisation": "inexact boxes",
    "both": "errors of both class and box",
    "duplicate": "duplicates",
    "background": "detections of background",
    "missed": "missed objects",
}
ADVICE = {
    "class": "Look at the pairs in the confusion matrix. Check the labels of these classes, add "
    "images of the rarer one, or merge classes that need not be told apart.",
    "localisation": "Check that the annotated boxes are tight and follow one rule. Then train "
    "longer, or with larger images.",
    "both": "These are weak guesses. They get fewer with better data and longer training; a higher "
    "score threshold hides most of them.",
    "duplicate": "Lower the IoU of non-maximum suppression, for example with model.nms_iou=0.4.",
    "background": "Look at the red boxes in the pictures below. Some may be objects that nobody "
    "annotated: annotate them. Otherwise, add images without objects that look like these places.",
    "missed": "Look at the recall by size. If small objects are missed, use larger images. If the "
    "recall at any score is much higher, lower the score threshold. Otherwise add training images "
    "that show such objects.",
}


def percent(value, digits: int = 1) -> str:
    """A number 0..1 in percent, or "-" if it is undefined."""
    return "-" if value is None else f"{100 * value:.{digits}f}"


def summary(numbers: dict) -> str:
    """The report in one paragraph."""
    return " ".join(filter(None, (part(numbers) for part in (_scores, _costs, _weak, _sizes))))


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """1 image, 2 images, 3 classes."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def _scores(n):
    where = f"{counted(n['images'], 'image')} with {counted(n['objects'], 'object')} of "
    where += counted(len(n["per_class"]), "class", "classes")
    if not n["objects"]:
        return f"There is nothing to measure: {where} were evaluated."
    text = f"On {where}, AP is {percent(n['AP'])}, AP50 is {percent(n['AP50'])} and AP75 is "
    text += f"{percent(n['AP75'])} percent."
    if n["best"] is None:
        some = counted(n["detections"], "detection")
        return f"{text} No detection is correct ({some}), so no score threshold is a good one."
    return (
        f"{text} At the score threshold {n['threshold']:.2f}, which has the best F1, the detector "
        f"finds {percent(n['best']['recall'], 0)}% of the objects, and "
        f"{percent(n['best']['precision'], 0)}% of its detections are correct."
    )


def ranked(n) -> list[str]:
    """The kinds of errors, the most costly first."""
    return sorted(KINDS, key=lambda kind: -(n["errors"][kind]["ap50_cost"] or 0))


def _costs(n):
    first, second = ranked(n)[:2]
    costs = [n["errors"][kind]["ap50_cost"] or 0 for kind in (first, second)]
    if costs[0] < 0.001:
        return ""
    text = f"The most costly errors are {ERRORS[first]}: without them, AP50 would be "
    text += f"{percent(costs[0])} points higher. "
    return f"{text}Next are {ERRORS[second]} ({percent(costs[1])} points)."


def _weak(n):
    rows = [r for r in n["per_class"] if r["objects"] >= FEW]
    rows = sorted(rows, key=lambda r: r["AP50"])[:3]
    text = ""
    if len(n["per_class"]) > 3 and rows:
        names = ", ".join(f"{r['name']} ({percent(r['AP50'])})" for r in rows)
        text = f"Of the classes with {FEW} or more objects, these have the lowest AP50: {names}. "
    if n["confused"] and n["confused"][0]["count"] > 1:
        pair = n["confused"][0]
        text += f"The most frequent confusion is {pair['true']} detected as {pair['detected']} "
        text += f"({counted(pair['count'], 'time')})."
    return text.strip()


def _sizes(n):
    rows = [r for r in n["recall_by_size"][:3] if r["objects"]]
    if len(rows) < 2 or n["best"] is None:
        return ""
    parts = [f"{percent(r['recall'], 0)}% of the {r['size'].split(',')[0]} ones" for r in rows]
    return f"By size, it finds {', '.join(parts[:-1])} and {parts[-1]}."
