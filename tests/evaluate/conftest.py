"""A small data set on disk, made with the real converter."""

import json

import pytest
from PIL import Image

SIZES = {7: (40, 60), 9: (60, 40), 21: (48, 48), 30: (50, 64), 44: (64, 50)}  # id -> (h, w)
BOXES = (  # image, category, x y w h, crowd
    (7, 5, (3.25, 4.5, 20.1, 12.7), 0),
    (7, 90, (30, 10, 25.5, 20), 0),
    (9, 5, (1, 1, 30, 40), 0),
    (9, 5, (10, 30, 25, 25), 0),
    (21, 17, (5, 5, 20, 20), 0),
    (21, 17, (24, 24, 22, 22), 1),
    (30, 90, (8.1, 9.9, 33.3, 22.2), 0),
)  # image 44 is empty
TWO_COLUMNS = {"counts": [1176, 22, 26, 22, 1058], "size": [48, 48]}


@pytest.fixture(scope="session")
def annotated():
    """COCO json form; category ids with gaps, image k is painted in the grey level of its id."""
    categories = [(5, "circle"), (17, "square"), (90, "star")]
    annotations = []
    for number, (image, category, (x, y, w, h), crowd) in enumerate(BOXES):
        corners = [x, y, x + w, y, x + w, y + h, x, y + h]
        annotations.append(
            {
                "id": 500 + number,
                "image_id": image,
                "category_id": category,
                "bbox": [x, y, w, h],
                "area": 0.8 * w * h,
                "iscrowd": crowd,
                "segmentation": TWO_COLUMNS if crowd else [corners],
            }
        )
    return {
        "images": [
            {"id": i, "file_name": f"{i}.png", "height": h, "width": w}
            for i, (h, w) in SIZES.items()
        ],
        "categories": [{"id": i, "name": n} for i, n in categories],
        "annotations": annotations,
    }


@pytest.fixture(scope="session")
def folder(annotated, tmp_path_factory):
    """The data set's folder of shards."""
    from kdet.data.convert.coco import convert_coco

    place = tmp_path_factory.mktemp("drawn")
    (place / "images").mkdir()
    for image in annotated["images"]:
        grey = (image["id"],) * 3
        picture = Image.new("RGB", (image["width"], image["height"]), grey)
        picture.save(place / "images" / image["file_name"])
    (place / "truth.json").write_text(json.dumps(annotated))
    convert_coco(place / "truth.json", place / "images", place / "shards", shards=2, workers=1)
    return place / "shards"
