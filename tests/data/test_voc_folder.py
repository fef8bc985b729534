"""VOC folders without a list: every XML file counts, and images may lie beside them."""

import folders
import pytest
from PIL import Image

from kdet.cli import main
from kdet.data.convert.voc import convert_voc, read_voc
from kdet.errors import DataError


def photos(folder, names, xmls):
    """Images and XML files side by side, as labelImg writes them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(folders.pixels(20, 30)).save(folder / name)
    for name, text in xmls.items():
        (folder / name).write_text(text)
    return folder


def test_the_list_of_all_files_gives_the_same(tmp_path):
    root, listed = folders.write_voc(tmp_path / "voc")
    assert read_voc(root).items == read_voc(root, listed).items
    assert read_voc(root).annotations == "voc"


def test_images_and_xml_files_side_by_side(tmp_path):
    images = ["my photo.jpg", "b.PNG", "sub/a.jpg", "c.jpg", ".hidden.jpg", "twice.jpg", "odd.jpg"]
    xmls = {"my photo.xml": folders.VOC, "b.xml": folders.VOC, "sub/a.xml": folders.VOC}
    xmls |= {"lost.xml": folders.VOC, "twice.xml": folders.VOC, "twice.jpg.xml": folders.VOC}
    xmls |= {"odd.xml": "<annotation>"}
    source = read_voc(photos(tmp_path / "photos", images, xmls))
    named = {item.name: (item.id, len(item.objects)) for item in source.items}
    assert named == {
        **{"b.PNG": (1, 2), "my photo.jpg": (3, 2), "sub/a.jpg": (5, 2), "twice.jpg": (6, 2)},
        "c.jpg": (8, 0),
    }
    assert (source.items[-1].height, source.items[-1].width) == (20, 30)
    assert source.notes == {"images without an annotation file, taken as images without objects": 1}
    said = sorted(map(str, source.problems))
    assert said[0].startswith("lost.xml: found no image lost with one of the suffixes .jpg, .jpeg")
    assert said[1].startswith("odd.xml: expected XML: ")
    assert said[2] == "twice.xml: another XML file belongs to twice.jpg, too"


def test_two_hundred_photos_need_no_list(tmp_path, capsys):
    names = [f"{k}.jpg" for k in range(10)]
    folder = photos(tmp_path / "photos", names, {f"{k}.xml": folders.VOC for k in range(10)})
    words = ["convert", "voc", "--devkit", folder, "--out", tmp_path / "out", "--split", 0.8]
    assert main(list(map(str, words))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{tmp_path}/out/train: 8 images, 16 objects of 2 classes in 1 shards" in lines[0]
    assert f"{tmp_path}/out/val: 2 images, 4 objects of 2 classes in 1 shards" in lines[1]


def test_several_folders(tmp_path):
    one = photos(tmp_path / "one", ["a.jpg"], {"a.xml": folders.VOC.replace("ant", "bee")})
    two, listed = folders.write_voc(tmp_path / "two")
    made = convert_voc([one, two], [None, listed], tmp_path / "out", workers=1)
    assert made["labels"]["names"] == ["bee", "cat", "ant"]  # as they come first
    assert made["source"]["annotations"] == "one, list.txt"
    records = folders.features(tmp_path / "out")
    assert [r["object/label"] for r in records] == [[1, 0], [1, 2], [1, 2]]
    assert [r["image/id"] for r in records] == [[1], [3], [2]]  # 3 is free


def test_a_folder_without_annotations(tmp_path):
    folder = photos(tmp_path / "photos", ["a.jpg"], {})
    with pytest.raises(DataError, match="photos: expected at least one named object in the images"):
        read_voc(folder)


def test_blood_cells_without_a_list(shared):
    source = read_voc(shared / "datasets/bccd/BCCD")
    assert len(source.items) == 364 and sum(len(i.objects) for i in source.items) == 4888 - 2
