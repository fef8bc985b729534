"""Opening, checking and reading a data set, and turning records into examples."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from kdet.data.convert.example_proto import serialize_example
from kdet.data.decode import clip_boxes, decode, parse
from kdet.data.records import Records
from kdet.errors import DataError


def edit(folder, change):
    path = folder / "dataset.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def edit_index(folder, **columns):
    with np.load(folder / "index.npz") as file:
        arrays = dict(file)
    np.savez(folder / "index.npz", **{**arrays, **columns})


def compress(path, method):
    """Sets the compression method of the first file in the zip's central directory."""
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 10] = method
    path.write_bytes(data)


def damage(folder, number, at=40):
    """Flips one bit of a record's payload, `at` bytes into it."""
    records = Records.open(folder)
    path = folder / records.shards[records.index["shard"][number]]["file"]
    content = bytearray(path.read_bytes())
    content[records.index["offset"][number] + at] ^= 1
    path.write_bytes(content)
    return path


def test_open_tells_what_is_inside(folder):
    records = Records.open(folder)
    assert len(records) == 7
    assert records.labels.names == ("a", "b", "c") and records.labels.ids == (1, 2, 5)
    assert records.sizes.dtype == np.int32 and records.sizes[3].tolist() == [24, 48]
    assert records.image_ids.tolist() == list(range(100, 107))
    assert records.index["objects"].tolist() == [1, 2, 3, 0, 2, 3, 1]
    records.verify()


def test_a_parent_folder_needs_a_split(folder, tmp_path):
    parent = tmp_path / "both"
    for split in ("train", "val"):
        shutil.copytree(folder, parent / split)
    assert Records.open(parent, "val").folder == parent / "val"
    assert Records.open(folder, "val").folder == folder
    for split in (None, "test"):
        with pytest.raises(DataError, match="it holds train, val"):
            Records.open(parent, split)
    with pytest.raises(DataError, match="no such folder"):
        Records.open(tmp_path / "nothing")


def test_a_truncated_shard_names_the_first_record_cut(folder):
    path = folder / "shard-00001-of-00002.tfrecord"  # holds records 3..6
    index = Records.open(folder).index
    whole = path.stat().st_size
    end = int(index["offset"][5] + index["length"][5])
    with open(path, "r+b") as file:
        file.truncate(end + 3)  # record 5 lacks the last byte of its checksum
    with pytest.raises(DataError) as caught:
        Records.open(folder)
    said = str(caught.value)
    assert said == (
        f"{path}: expected {whole} bytes, found {end + 3}; "
        "record 5 (image id 105) is the first one cut"
    )


def test_open_refuses_what_does_not_belong_together(folder, tmp_path):
    def broken(change, match):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        change(copy)
        with pytest.raises(DataError, match=match) as caught:
            Records.open(copy)
        assert "\n" not in str(caught.value)

    shard = "shard-00000-of-00002.tfrecord"
    broken(lambda f: edit(f, lambda d: d.update(schema=2)), "expected schema 1, got 2")
    broken(lambda f: edit(f, lambda d: d.pop("labels")), "KeyError 'labels'")
    broken(
        lambda f: edit(f, lambda d: d["labels"].update(ids=[1, 1, 2])), "one distinct id per name"
    )
    broken(lambda f: (f / "dataset.json").write_text("{"), "JSONDecodeError")
    broken(lambda f: (f / shard).unlink(), f"{shard}: shard is missing")
    broken(lambda f: (f / "index.npz").unlink(), "index.npz: file is missing")
    broken(lambda f: (f / "index.npz").write_bytes(b"no zip"), "index.npz")
    broken(lambda f: compress(f / "index.npz", method=99), "compression method is not supported")
    broken(lambda f: edit(f, lambda d: d.update(records=6)), "must be 6 integers")
    broken(lambda f: edit_index(f, length=np.array([None] * 7)), "allow_pickle")
    broken(lambda f: edit_index(f, length=np.ones(7)), "length must be 7 integers, got float64")
    broken(lambda f: edit_index(f, shard=np.zeros(7, np.int32)), "have different records")
    offset = Records.open(folder).index["offset"].copy()
    offset[4] += 1
    broken(lambda f: edit_index(f, offset=offset), r"wrong offset for record 4 \(image id 104\)")


def test_read_returns_every_record_in_any_order(folder, make_record):
    records = Records.open(folder)
    numbers = [6, 0, 3, 3, 1, 5, 2, 4]
    dataset = tf.data.Dataset.from_tensor_slices(numbers).map(records.read, num_parallel_calls=2)
    ids = [int(parse(payload)["image/id"]) for payload in records.iterate(dataset)]
    assert ids == [100 + n for n in numbers]
    boxes = [(1, 2, 10, 9), (2, 2, 11, 9)]
    assert records.read(1).numpy() == serialize_example(make_record(1, 40, 30, boxes))


def test_verify_finds_a_flipped_bit(folder):
    path = damage(folder, 5)
    records = Records.open(folder)
    with pytest.raises(DataError, match=f"{path}: expected sha256 "):
        records.verify()


@pytest.mark.parametrize("number, at", [(0, 40), (2, 40), (6, 40), (4, -12), (4, -2)])
def test_reading_a_flipped_bit_names_shard_and_record(folder, number, at):
    path = damage(folder, number, at)  # in the payload, its length, the length's checksum
    records = Records.open(folder)
    dataset = tf.data.Dataset.range(7).map(records.read)
    with pytest.raises(DataError) as caught:
        list(records.iterate(dataset))
    assert str(caught.value) == f"{path}: record {number} (image id {100 + number}) is damaged"


def test_a_record_exchanged_for_another_is_found(folder):
    fingerprint = Records.open(folder).index["fingerprint"].copy()
    fingerprint[4] += 1
    edit_index(folder, fingerprint=fingerprint)
    records = Records.open(folder)
    with pytest.raises(DataError) as caught:
        list(records.iterate(tf.data.Dataset.range(7).map(records.read)))
    assert str(caught.value) == (
        f"{folder}/shard-00001-of-00002.tfrecord: record 4 is not the one in index.npz"
    )


def test_a_shard_cut_while_it_is_read(folder):
    records = Records.open(folder)
    with open(folder / "shard-00000-of-00002.tfrecord", "r+b") as file:
        file.truncate(int(records.index["offset"][1]) + 5)
    with pytest.raises(DataError, match=r"record 1 \(image id 101\) is the first one cut"):
        list(records.iterate(tf.data.Dataset.from_tensors(2).map(records.read)))


def test_an_image_that_does_not_decode_is_one_line(tmp_path, write_folder, make_record):
    bad = make_record(1, 30, 40, encoded=b"\xff\xd8 not a picture")
    records = Records.open(write_folder(tmp_path / "bad", [make_record(0, 30, 40), bad]))
    with pytest.raises(DataError) as caught:
        list(records.iterate(tf.data.Dataset.range(2).map(lambda k: decode(records.read(k)))))
    assert str(caught.value).startswith(f"{tmp_path / 'bad'}: Unknown image file format")
    assert "\n" not in str(caught.value)


def test_an_image_of_another_size_than_recorded(tmp_path, write_folder, make_record):
    wrong = dataclasses.replace(make_record(0, 30, 40), height=40, width=30)
    records = Records.open(write_folder(tmp_path / "bad", [wrong], shards=1))
    with pytest.raises(DataError, match="image 100 is not of its recorded size"):
        list(records.iterate(tf.data.Dataset.range(1).map(lambda k: decode(records.read(k)))))


def test_decode_gives_the_example_of_the_schema(make_record, make_picture):
    boxes = [(1, 2, 10, 9), (30, 20, 50, 50), (5, 5, 4, 4)]
    example = decode(serialize_example(make_record(7, 30, 40, boxes, crowd=[0, 1, 0])))
    np.testing.assert_array_equal(example["image"], make_picture(30, 40, 7))
    assert int(example["image_id"]) == 107
    assert example["original_size"].dtype == tf.int32
    assert example["original_size"].numpy().tolist() == [30, 40]
    assert example["boxes"].numpy().tolist() == [[1, 2, 11, 11], [30, 20, 40, 30], [5, 5, 9, 9]]
    assert example["labels"].numpy().tolist() == [0, 1, 2] and example["labels"].dtype == tf.int32
    assert example["crowd"].numpy().tolist() == [False, True, False]
    assert example["difficult"].numpy().tolist() == [False] * 3


def test_decode_keeps_an_image_without_objects(make_record):
    example = decode(serialize_example(make_record(0, 30, 40)))
    assert example["boxes"].shape == (0, 4) and example["labels"].shape == (0,)


def test_decode_reads_grey_jpeg_and_png(make_record, make_picture):
    grey = make_picture(30, 40)[..., :1]
    for encoder in (tf.io.encode_png, lambda x: tf.io.encode_jpeg(x, quality=100)):
        image = decode(serialize_example(make_record(0, 30, 40, encoded=encoder(grey).numpy())))[
            "image"
        ]
        assert image.shape == (30, 40, 3) and image.dtype == tf.uint8
        assert np.abs(image.numpy().astype(int) - grey).max() <= 3


# x, y, w, h in an image of 30 x 40 (h, w) -> expected xyxy, None where it is left out
BOXES = [
    ((10, 5, 8, 6), (10, 5, 18, 11)),
    ((-3, -2, 8, 6), (0, 0, 5, 4)),  # begins outside: the far edges stay where they are
    ((-3, 5, 50, 6), (0, 5, 40, 11)),
    ((-7.5, 5, 8, 6), None),  # half a pixel inside
    ((-0.25, 5, 0.5, 6), (0, 5, 1, 11)),  # smaller than a pixel itself
    ((35, 25, 8, 6), (35, 25, 40, 30)),
    ((10.5, 5.25, 0.5, 0), (10.5, 5.25, 11.5, 6.25)),  # at least one pixel
    ((0, 0, 40, 30), (0, 0, 40, 30)),
    ((39.5, 0, 5, 5), None),  # half a pixel inside
    ((40, 0, 5, 5), None),
    ((0, 30, 5, 5), None),
]


def test_boxes_are_clipped_at_their_corners():
    """Not as the reference clips COCO boxes: there a box that begins outside keeps its width."""
    boxes, keep = clip_boxes(tf.constant([b for b, _ in BOXES], tf.float64), 30, 40)
    assert keep.numpy().tolist() == [wanted is not None for _, wanted in BOXES]
    assert boxes[keep].numpy().tolist() == [list(wanted) for _, wanted in BOXES if wanted]
    assert boxes.dtype == tf.float32
    assert clip_boxes(np.zeros((0, 4)), 20, 30)[0].shape == (0, 4)


def test_a_box_of_one_pixel_survives_float32():
    x = np.random.default_rng(0).uniform(0, 600, (5000, 2))
    _, keep = clip_boxes(np.concatenate([x, np.ones_like(x)], 1), 640, 640)
    assert keep.numpy().all()
