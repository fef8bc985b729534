"""Evaluates a detector on a data set."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from kdet.config import LabelMap
from kdet.detections import coco_rows
from kdet.errors import EvaluationError
from kdet.evaluate.coco import NAMES, evaluate_coco
from kdet.evaluate.truth import has_masks, truth_of
from kdet.evaluate.voc import evaluate_voc
from kdet.files import write_json
from kdet.masks import paste_mask
from kdet.masks.rle import encode_mask

METRICS = {"coco": evaluate_coco, "voc": evaluate_voc}
INPUTS = ("image", "resized_size", "original_size")


def predict_all(
    detector, batches, total: int | None = None, each=None
) -> dict[int, dict[str, np.ndarray]]:
    """The detections of all images. A progress bar is shown.

    Args:
        detector: called with {"image": (B, H, W, 3) float32, "resized_size": (B, 2),
            "original_size": (B, 2)}. It returns {"boxes": (B, N, 4) pixels of the original image,
            "scores": (B, N), "labels": (B, N) int32, "valid": (B, N) bool}, and maybe more.
            "masks" (B, N, M, M) are pasted and stored as run lengths.
        batches: evaluation batches (`kdet.data.schema`). Their repeated rows are dropped.
        total: number of images, for the progress bar.
        each: function (detector, batches) that yields (batch, outputs of the detector) for every
            batch in order. None calls the detector for one batch after the other.

    Returns:
        image id -> {"boxes": (n, 4), "scores": (n,), "labels": (n,), ...}, with the valid ones
        only. With masks also "segmentations", a list of n (`kdet.masks.rle.encode_mask`).

    Raises:
        EvaluationError: an image occurs twice.
    """
    found = {}
    with tqdm(total=total, unit="img", desc="evaluate", disable=None) as bar:
        for batch, outputs in (each or _each)(detector, batches):
            outputs = {name: np.asarray(value) for name, value in outputs.items()}
            valid = outputs.pop("valid").astype(bool)
            sizes = np.asarray(batch["original_size"]).astype(int).tolist()
            before = len(found)
            repeated = np.asarray(batch["repeated"])
            for row, image_id in enumerate(np.asarray(batch["image_id"]).tolist()):
                if repeated[row]:
                    continue
                if image_id in found:
                    raise EvaluationError(f"images were evaluated more than once, ids: {image_id}")
                one = {k: v[row][valid[row]] for k, v in outputs.items()}
                if "masks" in one:  # one image at a time, because pasted masks are large
                    pairs = zip(one.pop("masks"), one["boxes"])
                    one["segmentations"] = [encode_mask(paste_mask(*p, sizes[row])) for p in pairs]
                found[image_id] = one
            bar.update(len(found) - before)
    return found


def _each(detector, batches):
    for batch in batches:
        yield batch, detector({name: batch[name] for name in INPUTS})


def predict_records(detector, records, data_config, batch: int = 1, each=None):
    """The result of `predict_all` for a data set; arguments and errors are those of `evaluate`."""
    from kdet.data.batches import eval_batches

    batches = records.iterate(eval_batches(records, data_config, batch))
    return predict_all(detector, batches, len(records), each)


def evaluate(
    detector, records, data_config, batch=1, metric="coco", out=None, predict=predict_records
):
    """The metrics of a detector on a data set.

    If the detector predicts masks and the data set has masks, "coco" evaluates boxes and masks in
    one pass.

    Args:
        detector: `kdet.Detector`, or a function with the same arguments (see `predict_all`).
        records: `kdet.data.records.Records`, or the folder of a data set.
        data_config: `kdet.config.Data`.
        batch: images per call.
        metric: "coco" or "voc".
        out: JSON file for the result rows. None writes no file.
        predict: function with the first four arguments of `predict_records` and its result. It can
            share the images over several devices.

    Returns:
        The result of `evaluate_coco` or `evaluate_voc`. With masks also "mask_AP", "mask_AP50",
        ..., and "mask_AP" and "mask_AP50" per class.

    Raises:
        EvaluationError: unknown metric, missing or repeated images, or non-finite predictions.
            `detector.labels` and the data set have different classes. Only some of the objects have
            masks.
        DataError: the data set is incomplete or damaged.
    """
    if metric not in METRICS:
        raise EvaluationError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}")
    masks = metric == "coco" and getattr(detector, "draws_masks", False)
    truth, found = detect_records(detector, records, data_config, batch, masks, predict)
    masks = masks and has_masks(truth)
    rows = result_rows(found, truth)
    if out is not None:
        write_json(out, rows)
    metrics = METRICS[metric](truth, rows, found)
    return _joined(metrics, evaluate_coco(truth, rows, found, "segm")) if masks else metrics


def detect_records(
    detector, records, data_config, batch=1, masks: bool = False, predict=predict_records
):
    """The annotations of a data set and what a detector finds on its images, in one pass.

    Args:
        detector, records, data_config, batch, predict: as in `evaluate`.
        masks: True reads the masks of the annotations, too.

    Returns:
        The result of `kdet.evaluate.truth.truth_of`, and the result of `predict_all`.

    Raises:
        EvaluationError, DataError: as in `evaluate`.
    """
    from kdet.data.records import Records

    records = records if isinstance(records, Records) else Records.open(records)
    truth = truth_of(records, masks)
    if masks:
        has_masks(truth)  # an error of the data must not come after hours of detection
    names = [category["name"] for category in truth["categories"]]
    check_classes(getattr(getattr(detector, "labels", None), "names", names), names)
    return truth, predict(detector, records, data_config, batch)


def _joined(boxes, masks):
    """The metrics of boxes and of masks in one dict."""
    per_class = {
        name: {
            **{k: v for k, v in numbers.items() if k != "objects"},
            **{f"mask_{k}": v for k, v in masks["per_class"][name].items() if k != "objects"},
            "objects": numbers["objects"],
        }
        for name, numbers in boxes["per_class"].items()
    }
    numbers = {f"mask_{k}": v for k, v in masks.items() if k != "per_class"}
    return {**boxes, **numbers, "per_class": per_class}


def check_classes(mine, names) -> None:
    """Checks that a detector and a data set have equal labels, if the detector has class names.

    Args:
        mine: class names of the detector, in label order.
        names: class names of the data set, in label order.
    Raises:
        EvaluationError: they differ.
    """
    unnamed = list(mine) == [str(k) for k in range(len(mine))]  # "0", "1", ... are not class names
    if len(mine) != len(names):
        raise EvaluationError(f"detector has {len(mine)} classes, the data set {len(names)}")
    for label, (ours, theirs) in enumerate(zip(mine, names)):
        if ours != theirs and not unnamed:
            raise EvaluationError(
                f"label {label} is {ours!r} in the detector, {theirs!r} in the data set"
            )


def result_rows(found: dict[int, dict], truth: dict) -> list[dict]:
    """COCO result rows from the result of `predict_all`. `truth["categories"]` is in label order.

    Raises:
        EvaluationError: the data set does not have a predicted label.
    """
    ids, names = zip(*((c["id"], c["name"]) for c in truth["categories"]))
    label_map, rows = LabelMap(names, ids), []
    for image_id, one in found.items():
        try:
            values = (one[name] for name in ("boxes", "scores", "labels"))
            rows += coco_rows(image_id, *values, label_map, one.get("segmentations"))
        except ValueError as error:
            raise EvaluationError(
                f"detector and data set have different classes: {error}"
            ) from None
    return rows


def format_table(metrics: dict, names=None, columns: int | None = None) -> str:
    """The main metrics as text, times 100. A summary comes first, then one row per class.

    An undefined metric is "undefined" in the summary, and "-" in the row of a class.

    Args:
        metrics: the result of `evaluate_coco` or `evaluate_voc`, or the joined result of boxes and
            masks.
        names: classes to show, in this order. None shows all.
        columns: classes per line. None chooses 1, or 2 for more than 24 classes.
    """
    per_class = metrics["per_class"]
    names = list(per_class) if names is None else list(names)
    if "mAP_11point" in metrics:
        lines = [f"mAP {_percent(metrics['mAP_11point'])} (11-point, IoU 0.5)"]
        fields = {"AP": "11point", "objects": "objects"}
    else:
        lines = [line for kind in ("", "mask_") for line in _coco_summary(metrics, kind)]
        fields = {field.replace("_", " "): field for field in per_class[names[0]]} if names else {}
    if not names:
        return "\n".join(lines)
    width = max(map(len, ["class", *names]))
    head = "  ".join(["class".ljust(width), *(title.rjust(_width(title)) for title in fields)])
    cells = [
        "  ".join([name.ljust(width), *(_cell(t, per_class[name][f]) for t, f in fields.items())])
        for name in names
    ]
    columns = columns or (1 if len(cells) <= 24 else 2)
    depth = -(-len(cells) // columns)
    lines += ["", "   ".join([head] * min(columns, len(cells)))]
    lines += ["   ".join(cells[i::depth]) for i in range(depth)]
    return "\n".join(lines)


def _coco_summary(metrics, kind):
    """Two lines on boxes (kind "") or masks ("mask_"), or none if they were not measured."""
    if f"{kind}AP" not in metrics:
        return []
    values = {name: _percent(metrics[kind + name]) for name in NAMES}
    title = kind.replace("_", " ")
    first = "  ".join(f"{title}{name} {values[name]}" for name in ("AP", "AP50", "AP75"))
    sizes = ", ".join(f"{size} {values[f'AP{size[0]}']}" for size in ("small", "medium", "large"))
    recall = f"{title}AR {values['AR100']} with 100 detections per image"
    return [first, f"{title}AP by size of objects: {sizes}; {recall}"]


def _width(field):
    return max(len(field), 5)


def _cell(field, value):
    text = str(value) if isinstance(value, int) else _percent(value)
    text = "-" if value is None else text
    return text.rjust(_width(field))


def _percent(value):
    return "undefined" if value is None else f"{100 * value:.1f}"
