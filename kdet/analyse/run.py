"""Detects, measures, draws and writes the report."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from kdet.analyse import measure
from kdet.analyse.figures import figures
from kdet.analyse.history import read_log
from kdet.analyse.match import CORRECT, KINDS, matches_of
from kdet.analyse.page import page
from kdet.analyse.words import summary
from kdet.analyse.worst import pictures_of, worst_images, worst_sheet
from kdet.evaluate.coco import coco_eval
from kdet.evaluate.run import detect_records, predict_records, result_rows
from kdet.evaluate.truth import check, class_names
from kdet.files import read_json, write_atomic, write_json


def analyse(detector, records, out, log=None, batch: int = 1, predict=predict_records) -> dict:
    """Writes what a detector gets wrong on a data set: report.html, analysis.json and pictures.

    The data set is detected once. Boxes are analysed, also those of a detector of masks. Crowds and
    difficult objects are not counted, and detections of them are neither right nor wrong.

    Args:
        detector: `kdet.Detector`, or a function as for `kdet.evaluate.run.predict_all` with an
            attribute `data`, a `kdet.config.Data`.
        records: `kdet.data.records.Records`, or the folder of a data set.
        out: the folder to write to.
        log: the log.jsonl of the training run, for the learning curves. It may be missing.
        batch: images per call of the detector.
        predict: as in `kdet.evaluate.evaluate`.

    Returns:
        The content of analysis.json, see `measured`.

    Raises:
        EvaluationError, DataError: as in `kdet.evaluate.evaluate`.
    """
    from kdet.data.records import Records

    records = records if isinstance(records, Records) else Records.open(records)
    truth, found = detect_records(detector, records, detector.data, batch, predict=predict)
    rows = result_rows(found, truth)
    check(truth, rows, list(found))
    numbers, matches, shown = measured(truth, rows)
    numbers |= {"data": str(records.folder), "labels": _labels(records), "log": read_log(log)}
    numbers["summary"] = summary(numbers)
    pictures = pictures_of(numbers["worst"], matches, shown, records)
    charts = figures(numbers)
    out = Path(out)
    write_json(out / "analysis.json", numbers)
    files = {n: _file(c.quantize(128), "PNG", optimize=True) for n, c in charts.items()}
    sheet = _file(worst_sheet(pictures), "PNG", compress_level=3)
    for name, content in {**files, "worst": sheet}.items():
        write_atomic(out / f"{name}.png", content)
    tiles = [_file(picture, "JPEG", quality=85) for picture in pictures]
    write_atomic(out / "report.html", page(numbers, files, tiles).encode())
    return numbers


def measured(truth: dict, rows: list[dict]):
    """The numbers of the report, the matches, and which detections count.

    Args:
        truth: of `kdet.evaluate.truth.truth_of`.
        rows: COCO result rows of all images.

    Returns:
        A dict, `kdet.analyse.match.Matches` and (n,) bool. In the dict, all shares are 0..1, or
        None where they are undefined. "threshold" is the score with the best F1 over all classes;
        "errors", "confusion", "recall_by_size" and "worst" are counted there. "per_class" is a list
        in the order of the labels.
    """
    names = list(class_names(truth).values())
    annotations = [
        {**a, "iscrowd": int(bool(a["iscrowd"] or a.get("difficult")))}
        for a in truth["annotations"]
    ]
    scored = coco_eval({**truth, "annotations": annotations}, rows, sizes=False)
    m = matches_of(scored)
    columns = [scored.params.catIds.index(c["id"]) for c in truth["categories"]]
    precision = scored.eval["precision"][:, :, columns, 0, -1]
    totals, per_class = measure.ap_table(precision)
    best = measure.best_f1(m.score, m.kind == CORRECT, len(m.detection))
    threshold = best["threshold"] if best else measure.NO_THRESHOLD
    shown = m.shown(threshold)
    numbers = {
        "images": len(truth["images"]),
        "objects": len(m.detection),
        "ignored_objects": sum(a["iscrowd"] for a in annotations),
        "detections": len(m.score),
        "shown_detections": int(shown.sum()),
        "threshold": threshold,
        "best": best,
        **totals,
        **_errors(m, shown, names, per_class),
        "recall_by_size": measure.recall_by_size(m, shown),
        "precision_at_recall": [
            None if values[0] < 0 else values.tolist() for values in precision[0].T
        ],
        "worst": worst_images(m, shown, truth["images"]),
    }
    return numbers, m, shown


def _errors(m, shown, names, per_class):
    """What is counted class by class; `per_class` has the AP of each one."""
    count = len(names)
    errors, costs = measure.error_counts(m, shown, count), measure.fix_costs(m, count)
    table, rows = measure.confusion(m, shown, count), []
    for k, (name, ap) in enumerate(zip(names, per_class)):
        mine, objects = m.label == k, int((m.object_label == k).sum())
        best = measure.best_f1(m.score[mine], m.kind[mine] == CORRECT, objects)
        kinds = dict(zip(KINDS, errors[k].tolist()))
        rows.append({"name": name, "objects": objects, **ap, "best": best, "errors": kinds})
    totals = dict(zip(KINDS, errors.sum(0).tolist()))
    return {
        "per_class": rows,
        "errors": {k: {"count": totals[k], "ap50_cost": costs[k]} for k in KINDS},
        "confusion": table.tolist(),
        "confused": _pairs(table[:count, :count], names),
    }


def _pairs(table, names, most=20):
    """The pairs of classes that are confused most often."""
    pairs = [(table[i, j], i, j) for i, j in np.argwhere(table) if i != j]
    return [
        {"true": names[i], "detected": names[j], "count": int(number)}
        for number, i, j in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))[:most]
    ]


def _labels(records):
    """Objects per class of the data set and of the training data beside it, if there are some."""
    counts = {}
    for folder in (records.folder.parent / "train", records.folder):
        data = read_json(folder / "dataset.json")
        if data.get("labels", {}).get("names") == list(records.labels.names):
            counts[folder.name or "data"] = data["counts"]["per_label"]
    return counts


def _file(image, kind, **settings):
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()
