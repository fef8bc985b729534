"""The tests that meet the original system's numbers, and those on JAX, run in every clone."""

import pathlib

import pytest

TESTS = pathlib.Path(__file__).parent
ROWS = (
    "cascade_rcnn_r50_fpn_1x",
    "faster_rcnn_r50_fpn_1x",
    "faster_rcnn_se154_vd_fpn_s1x",
    "mask_rcnn_r50_1x",
    "retinanet_r50_fpn_1x",
    "ssd_mobilenet_v1_voc",
    "yolov3_darknet",
)


@pytest.mark.parametrize("row", ROWS)
def test_the_numbers_of_every_row_are_in_the_repository(row):
    assert (TESTS / "golden" / f"{row}.npz").stat().st_size > 100_000
    assert (TESTS / "golden" / f"{row}.json").is_file()


def test_no_test_of_them_can_skip():
    """A skip would let the main claim of the README go untested without a word."""
    proofs = [*sorted((TESTS / "models").glob("*golden*.py")), TESTS / "test_backend.py"]
    assert len(proofs) == 6
    for path in proofs:
        text = path.read_text("utf-8")
        for word in ("skip", "xfail", "def row(shared", "shared)"):
            assert word not in text, f"{path.name}: {word}"
