import folders
import numpy as np
import pytest
from PIL import Image

from kdet.data.convert.coco import convert_coco
from kdet.data.convert.describe import describe, sample_sheet
from kdet.data.records import Records
from kdet.errors import DataError


@pytest.fixture
def out(tmp_path):
    """Three images: two boxes, one box, none."""
    convert_coco(*folders.write_coco(tmp_path, folders.coco_data()), tmp_path / "out", workers=1)
    return tmp_path / "out"


def test_lines(out):
    lines = describe(out).splitlines()
    assert lines[0] == f"{out}: coco, from truth.json"
    assert lines[1].startswith("3 images in 1 shards, 0.0 MiB")
    assert lines[2] == "3 objects and 0 crowds; 0 difficult; 1 images without objects"
    assert lines[4] == "dog        1 " + "#" * 20
    assert lines[5] == "cat        2 " + "#" * 40
    table = {line[:28].strip(): line[28:].split() for line in lines[7:]}
    assert table["objects per image"] == ["0", "0.1", "0.5", "1", "1.5", "1.9", "2"]
    assert table["box width"][::3] == ["4", "10", "16"]
    assert table["image height"][::3] == ["10", "20", "24"]


def test_contact_sheet_shows_every_image_with_boxes(out, tmp_path):
    describe(out, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 3 * 492 + 12 and sheet.dtype == np.uint8
    columns = np.flatnonzero((sheet != 255).any((0, 2)))
    assert columns[0] < 30 and columns[-1] > 2 * 492
    assert sample_sheet(Records.open(out), 1).size[0] == 492 + 12


def test_data_set_without_objects(tmp_path):
    data = folders.coco_data()
    data["annotations"] = []
    convert_coco(*folders.write_coco(tmp_path, data), tmp_path / "out", workers=1, allow_empty=True)
    text = describe(tmp_path / "out", tmp_path / "sheet.png")
    assert "0 objects" in text and "image width" in text and "box width" not in text


def test_damage_is_one_line(out):
    (out / "index.npz").unlink()
    with pytest.raises(DataError, match=r"^[^\n]*index.npz[^\n]*$"):
        describe(out)
