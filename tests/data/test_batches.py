"""Batches for training and evaluation: shapes, order, resuming, sharing, one preparation."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from plans import batch_plan

from kdet.config import Data
from kdet.data import Records, eval_batches, image_batch, prepare, train_batches
from kdet.data import batches as module
from kdet.data.decode import decode
from kdet.errors import DataError

DATA = Data(short_side=32, long_side=48, pad_to=16, max_boxes=4)
STEPS, BATCH, SEED = 9, 4, 11


@pytest.fixture
def records(folder):
    return Records.open(folder)


def batches(dataset):
    return [{k: v.numpy() for k, v in batch.items()} for batch in dataset]


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def train(records, **changes):
    arguments = {"schedule_batch": BATCH, "steps": STEPS, "seed": SEED, **changes}
    return batches(train_batches(records, DATA, **arguments))


def test_a_training_batch_is_what_the_schema_says(records):
    dataset = train_batches(records, DATA, BATCH, STEPS, SEED)
    spec = {k: (tuple(v.shape), v.dtype) for k, v in dataset.element_spec.items()}
    assert spec == {
        "image": ((BATCH, None, None, 3), tf.float32),
        "resized_size": ((BATCH, 2), tf.float32),
        "original_size": ((BATCH, 2), tf.float32),
        "image_id": ((BATCH,), tf.int64),
        "boxes": ((BATCH, 4, 4), tf.float32),
        "labels": ((BATCH, 4), tf.int32),
        "valid": ((BATCH, 4), tf.bool),
        "sample_seed": ((BATCH,), tf.int32),
    }
    assert int(dataset.cardinality()) == STEPS and dataset.options().deterministic
    canvases = DATA.canvas_sizes()
    plan, canvas = batch_plan(records.sizes, canvases, DATA, BATCH, STEPS, SEED)
    found = batches(dataset)
    for batch, numbers, c in zip(found, plan, canvas):
        assert batch["image"].shape[1:3] == canvases[c]
        assert batch["image_id"].tolist() == (100 + numbers).tolist()
        np.testing.assert_array_equal(batch["original_size"], records.sizes[numbers])
        assert batch["valid"].sum(1).tolist() == records.index["objects"][numbers].tolist()
    assert 103 in {i for b in found for i in b["image_id"]}  # the image without objects trains


def test_a_training_image_by_hand(records):
    """Record 0: 30 x 40 (h, w), box 1 2 10 9 (x y w h); scale 32 / 30, sometimes mirrored."""
    seen = set()
    for batch in train(records, steps=30):
        for k in np.flatnonzero(batch["image_id"] == 100):
            s = 32 / 30
            x1, x2 = (1, 11) if batch["boxes"][k, 0, 0] < 10 else (29, 39)
            seen.add(x1)
            expected = [x1 * s, 2 * s, (x2 - 1) * s + 1, 10 * s + 1]
            np.testing.assert_allclose(batch["boxes"][k, 0], expected, rtol=1e-6)
            np.testing.assert_allclose(batch["resized_size"][k], [32, 40 * s], rtol=1e-6)
            image = prepare(decode(records.read(0))["image"], DATA)["image"].numpy()
            real = batch["image"][k, :32, :43]  # 42.67 rounds to 43; padded to 48
            if x1 == 1:
                np.testing.assert_array_equal(real, image[:32, :43])
            assert not batch["image"][k, 32:].any() and not batch["image"][k, :, 43:].any()
            assert real.any(-1).all()
    assert seen == {1, 29}


def test_equal_arguments_give_equal_bits(records):
    first = train(records)
    assert_equal(first, train(records))
    other = train(records, seed=SEED + 1)
    assert any((a["image_id"] != b["image_id"]).any() for a, b in zip(first, other))


@pytest.mark.parametrize("start", [0, 1, 5, STEPS])
def test_starting_at_a_step_equals_skipping(records, start):
    assert_equal(train(records, start_step=start), train(records)[start:])


@pytest.mark.parametrize("workers", [2, 4])
def test_shares_together_are_the_whole_batch(records, workers):
    shares = [train(records, shard=(i, workers)) for i in range(workers)]
    joined = [
        {k: np.concatenate([part[k] for part in parts]) for k in parts[0]} for parts in zip(*shares)
    ]
    assert_equal(joined, train(records))


def test_a_longer_run_begins_the_same(records):
    assert_equal(train(records, steps=15)[:STEPS], train(records))


def test_one_trace_for_all_canvases(records, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "decode", lambda *a: calls.append(1) or decode(*a))
    found = train(records, steps=20)
    assert len({b["image"].shape for b in found}) == 2 and len(calls) == 1


def test_evaluation_has_every_image_once(records):
    found = batches(eval_batches(records, DATA, 2))
    ids = np.concatenate([b["image_id"] for b in found])
    repeated = np.concatenate([b["repeated"] for b in found])
    assert sorted(ids[~repeated]) == list(range(100, 107)) and repeated.sum() == 1
    for batch in found:
        assert set(batch) == {"image", "resized_size", "original_size", "image_id", "repeated"}
        for k in np.flatnonzero(~batch["repeated"]):
            example = decode(records.read(int(batch["image_id"][k]) - 100))
            alone = prepare(example["image"], DATA)
            for key in alone:
                np.testing.assert_array_equal(batch[key][k], alone[key], err_msg=key)


def test_prepare_traces_once_for_all_sizes(make_picture):
    traced = tf.function(
        lambda image: prepare(image, DATA),
        input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)],
    )
    for size, canvas in [((30, 40), (32, 48)), ((90, 20), (48, 32)), ((5, 5), (32, 48))]:
        image = make_picture(*size)
        out, eager = traced(image), prepare(image, DATA)
        assert tuple(out["image"].shape) == (*canvas, 3)
        assert out["original_size"].numpy().tolist() == list(size)
        for key in eager:
            np.testing.assert_array_equal(out[key], eager[key])
    assert traced.experimental_get_tracing_count() == 1
    small = dataclasses.replace(DATA, canvases=((32, 32),))
    with pytest.raises(tf.errors.InvalidArgumentError, match="no canvas holds"):
        prepare(make_picture(30, 40), small)


def test_prepare_survives_a_saved_model(tmp_path, make_picture):
    class Served(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
        def __call__(self, image):
            return prepare(image, DATA)

    tf.saved_model.save(Served(), str(tmp_path))
    image = make_picture(33, 70)
    loaded = tf.saved_model.load(str(tmp_path))(image)
    np.testing.assert_array_equal(loaded["image"], prepare(image, DATA)["image"])


def test_image_batch_finds_a_canvas_for_all(make_picture):
    wide, tall = make_picture(30, 40), make_picture(40, 30, 1)
    assert image_batch([wide, wide], DATA)["image"].shape == (2, 32, 48, 3)
    both = image_batch([wide, tall], DATA)
    assert both["image"].shape == (2, 48, 48, 3)
    alone = prepare(tall, DATA)["image"]
    np.testing.assert_array_equal(both["image"][1, :48, :32], alone)
    assert both["original_size"].numpy().tolist() == [[30, 40], [40, 30]]
    for bad in ([], [np.zeros((3, 4, 4), np.uint8)], [np.zeros((3, 4, 3), np.float32)]):
        with pytest.raises(DataError):
            image_batch(bad, DATA)


def test_errors_before_the_first_image(records):
    with pytest.raises(DataError, match="batch 4 has no share 0 of 3 workers"):
        train(records, shard=(0, 3))
    with pytest.raises(DataError, match="start_step must be 0..9, got 10"):
        train(records, start_step=10)
    few = dataclasses.replace(DATA, max_boxes=2)
    with pytest.raises(DataError, match=r"record 2 \(image id 102\) has 3 objects"):
        train_batches(records, few, BATCH, STEPS, SEED)


def test_coco_images_from_shards_equal_the_files(shared, tmp_path, write_folder, make_record):
    """Landscape and portrait photographs, encoded as the original JPEG files."""
    paths = sorted((shared / "datasets" / "coco_mini" / "val2017").glob("*.jpg"))[:6]
    if not paths:
        pytest.skip("no coco_mini")
    images = [tf.io.decode_jpeg(p.read_bytes(), dct_method="INTEGER_ACCURATE") for p in paths]
    items = [
        make_record(k, *i.shape[:2], [(0, 0, 20, 20)], encoded=p.read_bytes())
        for k, (i, p) in enumerate(zip(images, paths))
    ]
    records = Records.open(write_folder(tmp_path / "coco", items))
    data = Data(pad_to=128)
    for batch in batches(eval_batches(records, data, 1)):
        image = images[int(batch["image_id"][0]) - 100]
        np.testing.assert_array_equal(batch["image"][0], prepare(image, data)["image"])


def test_the_package_names_its_parts_without_loading_tensorflow():
    import kdet.data

    assert all(hasattr(kdet.data, name) for name in kdet.data.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'shards_of'"):
        _ = kdet.data.shards_of
    code = "import sys, kdet.data; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
