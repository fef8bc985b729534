import json

import folders
import numpy as np
import pytest
import tensorflow as tf

from kdet.data.convert.synthetic import SHAPES, draw_scene, make_synthetic
from kdet.data.records import Records
from kdet.errors import DataError
from kdet.masks.rle import mask_from_runs


def content(out):
    return {p.name: p.read_bytes() for p in out.iterdir()}


def test_equal_seeds_give_equal_bytes(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        make_synthetic(tmp_path / name, 12, seed, (64, 96))
    a, b, c = (content(tmp_path / name) for name in "abc")
    assert a == b and a["shard-00000-of-00001.tfrecord"] != c["shard-00000-of-00001.tfrecord"]


def test_more_images_begin_with_the_same_ones(tmp_path):
    few, more = tmp_path / "few", tmp_path / "more"
    make_synthetic(few, 4, 1, (48, 48))
    make_synthetic(more, 7, 1, (48, 48))
    assert folders.features(more)[:4] == folders.features(few)


def test_everything_is_there(tmp_path):
    summary = make_synthetic(tmp_path / "a", 120, 0)
    assert summary["labels"]["names"] == list(SHAPES) and summary["records"] == 120
    assert summary["source"]["kind"] == "synthetic"
    assert min(summary["counts"]["per_label"]) > 20 and summary["counts"]["empty_images"] > 2
    assert json.loads((tmp_path / "a/report.json").read_text())["problems"] == []
    records = Records.open(tmp_path / "a")
    assert (records.sizes == 128).all() and records.index["objects"].max() == 5
    stored = folders.features(tmp_path / "a")
    boxes = np.concatenate([np.frombuffer(f["object/bbox"][0]).reshape(-1, 4) for f in stored])
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 128).all()
    assert boxes[:, 2:].max() <= 0.6 * 128 and np.median(boxes[:, 2:]) > 0.25 * 128
    kinds = {bytes(f["image/encoded"][0][:2]) for f in stored}
    assert kinds == {b"\xff\xd8", b"\x89P"}


def test_boxes_fit_the_drawn_pixels(tmp_path):
    """Of a lone shape on its ground, the outermost unlike pixels are its box."""
    checked = 0
    for number in range(60):
        pixels, shapes = draw_scene(np.random.default_rng(number), (128, 128))
        if len(shapes) != 1:
            continue
        mask = shapes[0].mask
        inside, ring = pixels[mask].mean(0), pixels[~mask].mean(0)
        assert np.abs(inside - ring).sum() > 60
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        low, high = shapes[0].points.min(0), shapes[0].points.max(0)
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        # A sharp corner covers less than half of its last pixels.
        assert np.abs(np.array([*low, *high]) - found).max() < 3.5
        checked += 1
    assert checked > 5


def test_covered_shapes_have_the_box_of_what_is_seen(tmp_path):
    make_synthetic(tmp_path / "a", 60, 2)
    covered = 0
    for stored in folders.features(tmp_path / "a"):
        boxes = np.frombuffer(stored["object/bbox"][0]).reshape(-1, 4)
        areas = np.frombuffer(stored["object/area"][0])
        lengths, at = stored["rle/lengths"], 0
        for box, area, runs, parts in zip(
            boxes, areas, stored["rle/runs"], stored["polygon/parts"]
        ):
            assert (runs > 0) != (parts > 0)
            if not runs:
                continue
            mask = mask_from_runs(lengths[at : at + runs], 128, 128)
            at += runs
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            low = columns[0], rows[0]
            assert box.tolist() == [*low, columns[-1] + 1 - low[0], rows[-1] + 1 - low[1]]
            assert area == mask.sum()
            covered += 1
    assert covered > 10


def test_masks_can_be_left_out(tmp_path):
    make_synthetic(tmp_path / "a", 8, 0, (48, 48), masks=False)
    stored = folders.features(tmp_path / "a")
    assert all(f["polygon/points"] == [] and f["rle/lengths"] == [] for f in stored)
    assert any(f["object/id"] for f in stored)
    assert tf.io.decode_image(stored[0]["image/encoded"][0]).shape == (48, 48, 3)


@pytest.mark.parametrize("change", [{"images": 0}, {"seed": -1}, {"size": (128, 31)}])
def test_impossible_arguments(tmp_path, change):
    with pytest.raises(DataError, match="expected images >= 1, seed >= 0 and sides >= 32"):
        make_synthetic(tmp_path / "a", **{"images": 1, "seed": 0, **change})
