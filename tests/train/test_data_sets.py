"""What is checked before the first step, and what is said about the data."""

import folders
import pytest

from kdet.config import Data
from kdet.data import Records, convert_coco
from kdet.errors import DataError
from kdet.train.data_sets import check_masks, limits, open_splits

TRIANGLE = [[3, 3, 7, 3, 7, 7]]


def converted(folder, annotations, categories=None, **options):
    data = folders.coco_data()
    data["annotations"] = annotations
    data["categories"] = categories or data["categories"]
    folder.mkdir(parents=True)
    paths = folders.write_coco(folder / "source", data)
    convert_coco(*paths, folder / "out", workers=1, **options)
    return folder / "out"


def splits(tmp_path, train, val):
    (tmp_path / "both").mkdir()
    for name, (annotations, categories) in (("train", train), ("val", val)):
        converted(tmp_path / name, annotations, categories).rename(tmp_path / "both" / name)
    return tmp_path / "both"


@pytest.mark.parametrize(
    ("categories", "words"),
    [
        (
            [{"id": 9, "name": "cat"}, {"id": 2, "name": "cow"}],
            ("only train/ has 'dog'", "only val/ has 'cow'"),
        ),
        (
            [{"id": 2, "name": "cat"}, {"id": 9, "name": "dog"}],
            ("order their classes differently: label 0 is 'dog' and 'cat'",),
        ),
        (
            [{"id": 9, "name": "cat"}, {"id": 3, "name": "dog"}],
            ("give class 'dog' different ids: 2 and 3",),
        ),
    ],
)
def test_splits_with_other_classes_are_told_apart(tmp_path, categories, words):
    ours = [folders.annotation(1, bbox=(3, 3, 4, 4))]
    theirs = [folders.annotation(1, category=categories[0]["id"], bbox=(3, 3, 4, 4))]
    with pytest.raises(DataError) as error:
        open_splits(splits(tmp_path, (ours, None), (theirs, categories)))
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_masks_are_checked_before_the_first_step(tmp_path):
    with_mask = folders.annotation(1, segmentation=TRIANGLE)
    check_masks(Records.open(converted(tmp_path / "a", [with_mask])), "row")
    for number, bad in enumerate(([], [{**with_mask, "id": 3}])):
        folder = converted(tmp_path / f"b{number}", [folders.annotation(2), *bad])
        with pytest.raises(
            DataError, match=r"record 0 \(image id 7\) has an object without a mask"
        ):
            check_masks(Records.open(folder), "mask_rcnn")


def test_what_is_beyond_the_limits_is_said(tmp_path):
    many = [folders.annotation(k, bbox=(3, 3, 4, 4)) for k in range(1, 121)]
    records = Records.open(converted(tmp_path / "a", many))
    lines = limits(records, records, Data(max_boxes=50, truncate_boxes=True))
    assert len(lines) == 2 and "(up to 120); the first 50" in lines[0]
    assert "1 validation images have more than 100 objects" in lines[1]
    assert not limits(records, None, Data(max_boxes=200))
