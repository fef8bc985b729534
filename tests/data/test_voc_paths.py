"""Which files a line of a VOC list means: the ones that are named, or a one-line problem."""

import folders
import pytest
from PIL import Image

from kdet.data.convert.voc import convert_voc, read_voc
from kdet.errors import DataError

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>7</ymax></bndbox>"


def image(path, value=0):
    """A small picture; BMP and WebP by the suffix, upper case or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"jpg": "JPEG", "jpeg": "JPEG"}.get(path.suffix[1:].lower(), path.suffix[1:].upper())
    Image.new("RGB", (30, 20), (value,) * 3).save(path, kind)


def xml(path, name, filename=None):
    """An annotation of one object of class `name`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = "" if filename is None else f"<filename>{filename}</filename>"
    size = "<size><width>30</width><height>20</height></size>"
    path.write_text(
        f"<annotation>{said}{size}<object><name>{name}</name>{BOX}</object></annotation>", "utf-8"
    )


def folder(tmp_path, images, xmls, lines):
    """A VOC folder; `xmls` is {path: class or (class, filename)}. Returns folder and list."""
    root = tmp_path / "voc"
    for number, path in enumerate(images):
        image(root / "JPEGImages" / path, number)
    for path, content in xmls.items():
        xml(root / "Annotations" / path, *([content] if isinstance(content, str) else content))
    (root / "list.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return root, root / "list.txt"


def taken(root, listed):
    """[(image path in the folder, class)] of a list without problems."""
    source = read_voc(root, listed)
    assert source.problems == []
    names = [source.labels.names[i.objects[0].label] for i in source.items]
    return [(i.path.removeprefix(f"{root}/"), n) for i, n in zip(source.items, names)]


FILES = (
    ["001.jpg", "dog/001.jpg", "dog/young/001.jpg", "cat/001.jpg", "cat/001.png"],
    {
        "001.xml": "flat",
        "dog/001.xml": "dog",
        "dog/young/001.xml": "puppy",
        "cat/001.xml": ("cat", "001.png"),
    },
)
NAMED = {
    "flat": ("001.jpg", "JPEGImages/001.jpg", "flat"),
    "stem": ("001", "JPEGImages/001.jpg", "flat"),
    "sub-folder": ("dog/001.jpg", "JPEGImages/dog/001.jpg", "dog"),
    "stem in a sub-folder": ("dog/001", "JPEGImages/dog/001.jpg", "dog"),
    "two levels": ("dog/young/001.jpg", "JPEGImages/dog/young/001.jpg", "puppy"),
    "back-slashes": ("dog\\young\\001.jpg", "JPEGImages/dog/young/001.jpg", "puppy"),
    "dot": ("./dog/001.jpg", "JPEGImages/dog/001.jpg", "dog"),
    "with the folder": ("JPEGImages/dog/001.jpg", "JPEGImages/dog/001.jpg", "dog"),
    "folder, back-slashes": ("JPEGImages\\dog\\001", "JPEGImages/dog/001.jpg", "dog"),
    "one of two suffixes": ("cat/001.jpg", "JPEGImages/cat/001.jpg", "cat"),
    "the other one": ("cat/001.png", "JPEGImages/cat/001.png", "cat"),
    "the XML knows": ("cat/001", "JPEGImages/cat/001.png", "cat"),
    "its XML": ("Annotations/dog/001.xml", "JPEGImages/dog/001.jpg", "dog"),
    "pair": ("JPEGImages/dog/001.jpg Annotations/001.xml", "JPEGImages/dog/001.jpg", "flat"),
    "pair, back-slashes": (
        "JPEGImages\\dog\\001.jpg\tAnnotations\\dog\\001.xml",
        "JPEGImages/dog/001.jpg",
        "dog",
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_the_named_file_is_taken(tmp_path, name):
    line, path, label = NAMED[name]
    assert taken(*folder(tmp_path, *FILES, [line])) == [(path, label)]


def test_equal_stems_in_several_folders_are_several_images(tmp_path):
    paths = folder(tmp_path, *FILES, ["001.jpg", "dog/001.jpg", "cat/001.png", "cat/001.jpg"])
    assert [label for _, label in taken(*paths)] == ["flat", "dog", "cat", "cat"]
    convert_voc(*paths, tmp_path / "out", workers=1)
    records = folders.features(tmp_path / "out")
    assert [r["image/name"][0].decode() for r in records] == [
        *("001.jpg", "dog/001.jpg", "cat/001.png", "cat/001.jpg")
    ]
    for record, path in zip(records, ("001.jpg", "dog/001.jpg", "cat/001.png", "cat/001.jpg")):
        assert record["image/encoded"] == [(paths[0] / "JPEGImages" / path).read_bytes()]


ODD = [
    "my cat.jpg",
    "cats, dogs, 2 birds.jpg",
    "käse/übung.png",
    "犬/写真 1.jpg",
    "a.b.c.jpg",
    "v1.2",
    "UPPER.JPG",
    "Mixed.JpEg",
    "old.bmp",
    "OLD2.BMP",
    "new.webp",
    "xmas.xml.tree.jpg",
    "e\u0301te\u0301.jpg",
]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("suffix", [True, False])
def test_odd_names(tmp_path, name, suffix):
    file = f"{name}.jpg" if name == "v1.2" else name
    stem = file.rpartition(".")[0]
    line = file if suffix else stem
    paths = folder(tmp_path, [file], {f"{stem}.xml": "cat"}, [line])
    assert taken(*paths) == [(f"JPEGImages/{file}", "cat")]
    assert convert_voc(*paths, tmp_path / "out", workers=1)["records"] == 1


def test_accents_written_as_one_or_two_characters(tmp_path):
    two = "e\u0301te\u0301"
    assert taken(*folder(tmp_path, [f"{two}.jpg"], {f"{two}.xml": "a"}, ["\xe9t\xe9"])) == [
        (f"JPEGImages/{two}.jpg", "a")
    ]


def test_pairs_with_spaces_in_both_names(tmp_path):
    paths = folder(
        tmp_path,
        ["my cat 1.jpg"],
        {"of my cat.xml": "cat"},
        ["JPEGImages/my cat 1.jpg Annotations/of my cat.xml"],
    )
    assert taken(*paths) == [("JPEGImages/my cat 1.jpg", "cat")]


def test_a_suffix_in_another_case(tmp_path):
    assert taken(*folder(tmp_path, ["a.JPG"], {"a.xml": "a"}, ["a.jpg"])) == [
        ("JPEGImages/a.JPG", "a")
    ]


def test_xml_named_after_the_whole_file_name(tmp_path):
    files = ["a.jpg", "a.png"], {"a.jpg.xml": "one", "a.png.xml": "two"}
    assert [label for _, label in taken(*folder(tmp_path, *files, ["a.png", "a.jpg"]))] == [
        *("two", "one")
    ]


FILENAMES = {
    "a sub-folder": (["001.jpg", "dog/001.jpg"], "dog/001.jpg", "JPEGImages/dog/001.jpg"),
    "with back-slashes": (["001.jpg", "dog/001.jpg"], "dog\\001.jpg", "JPEGImages/dog/001.jpg"),
    "the suffix": (["001.jpg", "001.png"], "001.png", "JPEGImages/001.png"),
    "a whole path": (["001.jpg", "001.bmp"], "C:\\me\\001.bmp", "JPEGImages/001.bmp"),
    "another name": (["IMG_7.jpg"], "IMG_7.jpg", "JPEGImages/IMG_7.jpg"),
    "out of date": (["001.jpg", "002.jpg"], "002.jpg", "JPEGImages/001.jpg"),
    "of nothing": (["001.jpg"], "elsewhere.jpg", "JPEGImages/001.jpg"),
}


@pytest.mark.parametrize("name", FILENAMES)
def test_what_the_filename_in_the_xml_decides(tmp_path, name):
    images, filename, expected = FILENAMES[name]
    assert taken(*folder(tmp_path, images, {"001.xml": ("a", filename)}, ["001"])) == [
        (expected, "a")
    ]


LOST = {
    "missing": ("dog/002.jpg", "'dog/002.jpg': found no image JPEGImages/dog/002.jpg"),
    "missing stem": ("dog/002", "'dog/002': found no annotation file Annotations/dog/002.xml"),
    "not the flat one": ("cow/001.jpg", "'cow/001.jpg': found no image JPEGImages/cow/001.jpg"),
    "other suffix": ("dog/001.png", "'dog/001.png': found no image JPEGImages/dog/001.png"),
    "no xml": ("bird/001", "'bird/001': found no annotation file Annotations/bird/001.xml"),
    "two fit": (
        "two/001",
        "'two/001': fits several files: JPEGImages/two/001.jpg, JPEGImages/two/001.png; name one "
        "with its suffix",
    ),
    "no image": (
        "lone/001",
        "'lone/001': found no image JPEGImages/lone/001 with one of the suffixes .jpg, .jpeg,",
    ),
    "long": ("x" * 500 + ".jpg", f"'{'x' * 80}': found no image JPEGImages/xxx"),
    "outside": ("../001.jpg", "'../001.jpg': expected a path inside the VOC folder"),
    "deep outside": ("dog/../../001", "'dog/../../001': expected a path inside the VOC folder"),
    "windows outside": ("..\\001.jpg", r"'..\\001.jpg': expected a path inside the VOC folder"),
    "absolute": ("/etc/001.jpg", "'/etc/001.jpg': expected a path inside the VOC folder"),
    "drive": ("C:\\me\\001.jpg", r"'C:\\me\\001.jpg': expected a path inside the VOC folder"),
    "pair outside": ("../a.jpg ../a.xml", "'../a.jpg ../a.xml': expected a path inside"),
    "pair": (
        "JPEGImages/001.jpg Annotations/9.xml",
        "'JPEGImages/001.jpg Annotations/9.xml': found no file Annotations/9.xml",
    ),
    "commas": ("001.jpg,001.xml", "'001.jpg,001.xml': found no annotation file Annotations/001"),
    "zero": ("00\0.jpg", "expected a text file with one image per line, got a binary file"),
}


@pytest.mark.parametrize("name", LOST)
def test_missing_and_ambiguous_files_are_one_line(tmp_path, name):
    line, expected = LOST[name]
    images, xmls = FILES
    images = [*images, "bird/001.jpg", "two/001.jpg", "two/001.png"]
    xmls = {**xmls, "two/001.xml": "two", "lone/001.xml": "lone"}
    root, listed = folder(tmp_path, images, xmls, ["001", "dog/001", line])
    if name == "zero":
        with pytest.raises(DataError, match=expected):
            read_voc(root, listed)
        return
    source = read_voc(root, listed)
    (problem,) = map(str, source.problems)
    assert problem.startswith(f"list.txt: line 3: {expected}") and "\n" not in problem
    assert len(source.items) == 2 and len(problem) < 800


def test_the_same_file_in_both_folders_is_ambiguous(tmp_path):
    root, listed = folder(tmp_path, ["a.jpg", "b.jpg"], {"a.xml": "a", "b.xml": "b"}, ["a", "b"])
    image(root / "images/a.jpg")
    (problem,) = map(str, read_voc(root, listed).problems)
    assert "'a': fits several files: JPEGImages/a.jpg, images/a.jpg" in problem


def test_a_list_read_again_sees_new_files(tmp_path):
    root, listed = folder(tmp_path, ["a.jpg"], {"a.xml": "a", "b.xml": "b"}, ["a", "b"])
    assert len(read_voc(root, listed).problems) == 1
    image(root / "JPEGImages/b.jpg")
    assert not read_voc(root, listed).problems
