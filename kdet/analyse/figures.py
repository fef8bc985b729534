"""The figures of the report, from its numbers."""

from __future__ import annotations

import numpy as np

from kdet.analyse.match import KINDS
from kdet.analyse.measure import IOUS, RECALLS
from kdet.draw.boxes import INK
from kdet.draw.charts import Series, bar_chart, heat_map, line_chart

LINES = 7  # classes with a line of their own, and losses in one chart
CELLS, BARS = 14, 30  # classes in the confusion matrix, and in the chart of labels
OTHERS, NOTHING, LOST = "other classes", "background", "not found"


def figures(numbers: dict) -> dict:
    """All charts that the numbers allow: name of the file without suffix -> PIL image."""
    charts = {
        "errors": errors(numbers),
        "curves": curves(numbers),
        "ap_by_iou": ap_by_iou(numbers),
        "confusion": confusion_chart(numbers),
        "sizes": sizes(numbers),
        "labels": labels(numbers),
        **learning(numbers["log"]),
    }
    return charts


def errors(numbers):
    """What each kind of error costs, and how often it occurs."""
    kinds = sorted(KINDS, key=lambda k: -(numbers["errors"][k]["ap50_cost"] or 0))
    costs = [numbers["errors"][k]["ap50_cost"] for k in kinds]
    costs = [None if cost is None else 100 * cost for cost in costs]
    texts = [
        "-" if cost is None else f"{cost:.1f}   ({numbers['errors'][k]['count']} errors)"
        for k, cost in zip(kinds, costs)
    ]
    most = max([c or 0 for c in costs]) * 1.25 or 1
    return bar_chart(
        "What each kind of error costs", kinds, {"": costs}, "points of AP50 that would be gained",
        {"": texts}, most,
    )  # fmt: skip


def curves(numbers):
    """Precision over recall of the classes with the most objects, and the mean of all classes."""
    precision, classes = numbers["precision_at_recall"], numbers["per_class"]
    defined = [k for k, values in enumerate(precision) if values is not None]
    chosen = sorted(defined, key=lambda k: -classes[k]["objects"])[:LINES]
    series = [Series(_with_ap(classes[k]), RECALLS, precision[k]) for k in chosen]
    if len(defined) > 1:
        mean = np.mean([precision[k] for k in defined], axis=0)
        name = f"mean of {len(defined)} classes ({100 * numbers['AP50']:.0f})"
        series = [Series(name, RECALLS, mean, INK, width=3.5), *series]
    title = "Precision and recall at IoU 0.5 (AP50)"
    return line_chart(title, series, "recall", "precision", (0, 1), (0, 1))


def _with_ap(row):
    return f"{row['name']} ({100 * row['AP50']:.0f})"


def ap_by_iou(numbers):
    """The mean AP over the IoU from which a box counts as right."""
    x = [int(name[2:]) / 100 for name in IOUS]
    y = [None if numbers[name] is None else 100 * numbers[name] for name in IOUS]
    title = "AP by the IoU that a correct box needs"
    series = [Series("all classes", x, y, dots=True)]
    return line_chart(title, series, "IoU", "AP in percent", (0.5, 0.9))


def confusion_chart(numbers):
    """The confusion matrix; of many classes those with the most confusions."""
    names, table = [row["name"] for row in numbers["per_class"]], np.array(numbers["confusion"])
    count = len(names)
    if count > CELLS:
        among = table[:count, :count] * (1 - np.eye(count, dtype=int))
        weight = 1000 * (among.sum(0) + among.sum(1)) + table[:count].sum(1).clip(0, 999)
        chosen = np.sort(np.argsort(-weight, kind="stable")[:CELLS])
        group = np.full(count + 1, CELLS)
        group[chosen], group[count] = np.arange(CELLS), CELLS + 1
        small = np.zeros((CELLS + 2, CELLS + 2), int)
        np.add.at(small, (group[:, None], group[None, :]), table)
        names, table = [names[k] for k in chosen] + [OTHERS], small
    rows, columns = [*names, NOTHING], [*names, LOST]
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    texts = [[str(value) if value else "" for value in row] for row in table]
    title = "Confusion matrix (numbers of objects and detections)"
    return heat_map(title, rows, columns, shares, texts, "true class", "detected as")


def sizes(numbers):
    """Recall by the size of objects."""
    rows, t = numbers["recall_by_size"], numbers["threshold"]
    series, texts = {}, {}
    for name, key in ((f"score {t:.2f} or more", "recall"), ("any score", "recall_at_any_score")):
        series[name] = [None if r[key] is None else 100 * r[key] for r in rows]
        texts[name] = ["-" if v is None else f"{v:.0f}" for v in series[name]]
    names = [f"{r['size']}: {r['objects']} obj." for r in rows]
    return bar_chart("Objects found, by size", names, series, "recall in percent", texts, 100)


def labels(numbers):
    """How the most frequent classes share the objects of the data sets."""
    counts = numbers["labels"]
    order = np.argsort(-np.sum(list(counts.values()), axis=0), kind="stable")[:BARS]
    series, texts = {}, {}
    for split, values in counts.items():
        name, total = f"{split} ({sum(values)} objects)", max(sum(values), 1)
        series[name] = [100 * values[k] / total for k in order]
        texts[name] = [str(values[k]) for k in order]
    names = [numbers["per_class"][k]["name"] for k in order]
    return bar_chart("Objects per class", names, series, "percent of the objects", texts)


def learning(log):
    """The curves of training: total loss, every loss, and the metrics of the evaluations."""
    charts, train, val = {}, log["losses"], log["val_losses"]
    names = [n for n in {**train, **val} if n not in ("step", "total")]
    if train or val:
        pairs = [("training", train, {}), ("validation", val, {"dots": True})]
        series = [
            Series(n, group["step"], group["total"], **style)
            for n, group, style in pairs
            if "total" in group
        ]
        charts["loss"] = line_chart("Loss", series, "step", "total loss", None, _top(series))
    if len(names) > 1:
        series = []
        for k, name in enumerate(names[:LINES]):
            if name in train:
                series.append(Series(name, train["step"], train[name], _colour(k)))
            if name in val:
                title = f"{name}, validation"
                series.append(Series(title, val["step"], val[name], _colour(k), True, 0))
        charts["losses"] = line_chart("Each loss", series, "step", "loss", None, _top(series))
    metrics = [n for n in ("AP", "AP50", "mAP_11point", "mask_AP") if n in log["eval"]]
    if metrics:
        steps = log["eval"]["step"]
        series = [Series(n, steps, _percent(log["eval"][n]), dots=True) for n in metrics]
        charts["metric"] = line_chart("Evaluations during training", series, "step", "percent")
    return charts


def _colour(k):
    from kdet.draw.charts import LINES as COLOURS

    return COLOURS[k % len(COLOURS)]


def _percent(values):
    return [None if v is None else 100 * v for v in values]


def _top(series):
    """An axis on which the high losses of the first steps do not flatten everything else."""
    values = [v for s in series for v in s.y if v is not None]
    return (0, float(np.quantile(values, 0.97)) * 1.1 or 1.0) if values else None
