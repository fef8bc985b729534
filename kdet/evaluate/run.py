"""A detector and a data set -> metrics."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from kdet.config import LabelMap
from kdet.detections import coco_rows
from kdet.errors import EvaluationError
from kdet.evaluate.coco import evaluate_coco
from kdet.evaluate.truth import has_masks, truth_of
from kdet.evaluate.voc import evaluate_voc
from kdet.files import write_json
from kdet.masks import paste_mask
from kdet.masks.rle import encode_mask

METRICS = {"coco": evaluate_coco, "voc": evaluate_voc}
INPUTS = ("image", "resized_size", "original_size")


def predict_all(detector, batches, total: int | None = None) -> dict[int, dict[str, np.ndarray]]:
    """What the detector finds on every image, with a progress bar.

    Args:
        detector: called with {"image": (B, H, W, 3) float32, "resized_size": (B, 2),
            "original_size": (B, 2)}; returns {"boxes": (B, N, 4) original pixels, "scores":
            (B, N), "labels": (B, N) int32, "valid": (B, N) bool}, possibly more; of these, "masks"
            (B, N, M, M) are pasted and stored as run lengths, an image at a time.
        batches: evaluation batches (`kdet.data.schema`); their repeated rows are dropped.
        total: images to come, for the time left.

    Returns:
        image id -> {"boxes": (n, 4), "scores": (n,), "labels": (n,), ...}, valid ones only; with
        masks "segmentations", a list of n (`kdet.masks.rle.encode_mask`).

    Raises:
        EvaluationError: an image that comes twice.
    """
    found = {}
    with tqdm(total=total, unit="img", desc="evaluate", disable=None) as bar:
        for batch in batches:
            outputs = detector({name: batch[name] for name in INPUTS})
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
                if "masks" in one:
                    pairs = zip(one.pop("masks"), one["boxes"])
                    one["segmentations"] = [encode_mask(paste_mask(*p, sizes[row])) for p in pairs]
                found[image_id] = one
            bar.update(len(found) - before)
    return found


def evaluate(detector, records, data_config, batch: int = 1, metric: str = "coco", out=None):
    """The metrics of a detector on a data set.

    Where the detector draws masks and the data has some, "coco" judges boxes and masks in one pass.

    Args:
        detector: `kdet.Detector`, or anything that is called like one (`predict_all`).
        records: `kdet.data.records.Records`, or a data set's folder.
        data_config: `kdet.config.Data`.
        batch: images per call.
        metric: "coco" or "voc".
        out: where the result rows are written as JSON; None keeps them in memory.

    Returns:
        What `evaluate_coco` or `evaluate_voc` returns. With masks also "mask_AP", "mask_AP50", ...,
        and "mask_AP" and "mask_AP50" per class.

    Raises:
        EvaluationError: unknown metric, images missing or twice, non-finite predictions,
            `detector.labels` (where it has them) are not the data set's, or some objects have masks
            and others have not.
        DataError: the data set is not finished or damaged.
    """
    if metric not in METRICS:
        raise EvaluationError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}")
    from kdet.data.batches import eval_batches
    from kdet.data.records import Records

    records = records if isinstance(records, Records) else Records.open(records)
    masks = metric == "coco" and "masks" in getattr(getattr(detector, "model", None), "output", ())
    truth = truth_of(records, masks)
    masks = masks and has_masks(truth)
    _same_classes(detector, [category["name"] for category in truth["categories"]])
    batches = records.iterate(eval_batches(records, data_config, batch))
    found = predict_all(detector, batches, len(truth["images"]))
    rows = result_rows(found, truth)
    if out is not None:
        write_json(out, rows)
    metrics = METRICS[metric](truth, rows, found)
    return _joined(metrics, evaluate_coco(truth, rows, found, "segm")) if masks else metrics


def _joined(boxes, masks):
    """The numbers of both as one dict."""
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


def _same_classes(detector, names):
    """Label k must mean the same to both; a detector without named labels is taken at its word."""
    mine = list(getattr(getattr(detector, "labels", None), "names", names))
    unnamed = mine == [str(k) for k in range(len(mine))]
    if len(mine) != len(names):
        raise EvaluationError(f"detector has {len(mine)} classes, the data set {len(names)}")
    for label, (ours, theirs) in enumerate(zip(mine, names)):
        if ours != theirs and not unnamed:
            raise EvaluationError(
                f"label {label} is {ours!r} to the detector, {theirs!r} in the data"
            )


def result_rows(found: dict[int, dict], truth: dict) -> list[dict]:
    """COCO result rows of `predict_all`'s answer; `truth["categories"]` is in label order.

    Raises:
        EvaluationError: labels that the data set does not have.
    """
    ids, names = zip(*((c["id"], c["name"]) for c in truth["categories"]))
    label_map, rows = LabelMap(names, ids), []
    for image_id, one in found.items():
        try:
            values = (one[name] for name in ("boxes", "scores", "labels"))
            rows += coco_rows(image_id, *values, label_map, one.get("segmentations"))
        except ValueError as error:
            raise EvaluationError(f"detector and data set differ in classes: {error}") from None
    return rows


def format_table(metrics: dict, names=None, columns: int | None = None) -> str:
    """The metrics as text: the summary, then one entry per class, times 100.

    A metric that cannot be computed is "undefined"; in a class without objects it is "-".

    Args:
        metrics: what `evaluate_coco` or `evaluate_voc` returned.
        names: classes to show, in this order; None shows all.
        columns: classes side by side; None chooses by their number.
    """
    per_class = metrics["per_class"]
    names = list(per_class) if names is None else list(names)
    summary = [f"{k} {_percent(v)}" for k, v in metrics.items() if k != "per_class"]
    lines = ["  ".join(summary[i : i + 6]) for i in range(0, len(summary), 6)]
    if not names:
        return "\n".join(lines)
    fields = list(per_class[names[0]])
    width = max(map(len, ["class", *names]))
    head = "  ".join(["class".ljust(width), *(f.rjust(_width(f)) for f in fields)])
    cells = [
        "  ".join([name.ljust(width), *(_cell(f, per_class[name][f]) for f in fields)])
        for name in names
    ]
    columns = columns or (1 if len(cells) <= 24 else 2)
    depth = -(-len(cells) // columns)
    lines += ["", "   ".join([head] * min(columns, len(cells)))]
    lines += ["   ".join(cells[i::depth]) for i in range(depth)]
    return "\n".join(lines)


def _width(field):
    return max(len(field), 5)


def _cell(field, value):
    text = str(value) if isinstance(value, int) else _percent(value)
    text = "-" if value is None else text
    return text.rjust(_width(field))


def _percent(value):
    return "undefined" if value is None else f"{100 * value:.1f}"
